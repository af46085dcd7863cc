FROM @BASE@
COPY shaketable /opt/shaketable/shaketable
RUN python3 -m compileall -q /opt/shaketable
ENV PYTHONPATH=/opt/shaketable PYTHONUNBUFFERED=1
WORKDIR /
STOPSIGNAL SIGTERM
