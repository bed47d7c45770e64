FROM python:3.12-slim

# mysqldump and mysql, for `djproxy export --run`.
RUN apt-get update \
 && apt-get install -y --no-install-recommends mariadb-client \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
COPY graph graph
RUN pip install --no-cache-dir . \
 && useradd --create-home djproxy \
 && install -d -o djproxy -m 700 /recordings

USER djproxy
WORKDIR /recordings
ENV DJPROXY_HOME=/recordings/home
VOLUME /recordings
EXPOSE 3307
ENTRYPOINT ["djproxy"]
CMD ["--help"]
