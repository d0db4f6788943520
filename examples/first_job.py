"""The first job: submitted, waited for, and looked at."""

import hpc_connect

backend = hpc_connect.get_backend("shell")
job = backend.submit("hello-world", ["echo 'Hello, world!'", "echo from process $$ on $(uname -n)"], cpus=1)
print(f"job {job.id}: process {job.native_id}, {job.status.state}")

code = job.wait()
print(f"job {job.id}: {job.status.state}, exit code {code}")
print(f"{job.output_path}:")
print(job.output(), end="")
raise SystemExit(code)
