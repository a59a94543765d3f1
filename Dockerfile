FROM python:3.12-slim AS build
RUN python -m venv /opt/segsvc
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
# the package holds a link to manifests/crd.yaml
COPY manifests/crd.yaml manifests/
COPY segsvc segsvc
RUN /opt/segsvc/bin/pip install --no-cache-dir .

FROM python:3.12-slim
# a number, so that the kubelet can tell that it is not root
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin segsvc
COPY --from=build /opt/segsvc /opt/segsvc
ENV PATH=/opt/segsvc/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8080 8081
ENTRYPOINT ["segsvc"]
CMD ["serve"]
