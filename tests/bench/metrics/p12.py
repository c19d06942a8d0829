"""P12: the server's memory beyond its idle memory while 8 clients push, and pull, L at once."""
import processes
import table

ID = "P12"
CLIENTS = 8


def measure(bench):
    model = bench.large()
    server = bench.ballast()
    client = server.client()
    # Threads, arenas and caches that any use brings are not what is asked for: the first
    # idle figure is before them, so that the result is the worse one.
    idle = processes.status_bytes(server.pid, "VmRSS")
    rows = []
    for ident, what, words in (
            ("P12a", "pushes", ("push-mapped", model.path, "l", 1, CLIENTS)),
            ("P12b", "pulls", ("pull-sink", "l-0", "safetensors", CLIENTS))):
        processes.reset_peak_rss(server.pid)
        client.ask(*words)
        grown = (processes.status_bytes(server.pid, "VmHWM") - idle) / (1 << 20)
        rows.append(table.Row(ident, f"peak RSS of the server, {CLIENTS} {what} of L at once, minus idle",
                              f"idle {idle >> 20} MiB", "MiB", grown, 192, grown, grown, grown,
                              target=192, then=128,
                              note=f"L here: {model.bytes >> 20} MiB; VmHWM − VmRSS when idle"))
    return rows
