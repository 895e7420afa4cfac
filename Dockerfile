# Dependencies change seldom and come first; the package is built from this checkout, its schemas inside.
FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY pyproject.toml constraints.txt ./
RUN ["python", "-c", "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; extras = project['optional-dependencies']; wanted = [*project['dependencies'], *extras['cli'], *extras['worker'], *extras['gateway'], *extras['schemas']]; print(*(each for each in wanted if not each.startswith('streams[')), sep='\\n', file=open('requirements.txt', 'w'))"]
RUN ["pip", "install", "--prefix=/install", "-c", "constraints.txt", "-r", "requirements.txt"]
COPY README.md LICENSE ./
COPY schemas schemas
COPY streams streams
RUN ["pip", "install", "--prefix=/install", "--no-deps", "."]

FROM python:3.11-slim
RUN ["useradd", "--system", "--uid", "10001", "--no-create-home", "streams"]
RUN ["install", "-d", "-o", "streams", "-g", "streams", "/var/lib/streams", "/etc/streams"]
COPY --from=build /install /usr/local
ENV PYTHONUNBUFFERED=1 STREAMS_STATE_DIR=/var/lib/streams
WORKDIR /var/lib/streams
USER streams
# The build fails here, and not a worker later, when the schemas are not inside.
RUN ["streams", "schemas", "show", "Invoke"]
ENTRYPOINT ["streams"]
CMD ["--help"]
