"""Where is the link's knee, for tenants that do not wait (open) and for tenants that do (closed)?

    python offered_load.py [--data DIR] [--figures DIR]    # checks its claims, writes offered_load.png
    marimo edit offered_load.py                            # with knobs to turn
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")

with app.setup:
    import sys

    import altair as alt
    import marimo as mo
    import polars as pl

    import sweeps

    TENANTS = 4
    LINK_LOAD = "tenants.tenant.arrivals.link_load"
    OUTSTANDING = "tenants.tenant.arrivals.outstanding"


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Offered load and the knee

    **Where is the link's knee, for tenants that do not wait and for tenants that do?**

    Four tenants read through a Gen4 x16 link, from pages that stay in the IOTLB. First the loop is *open*: requests come at random, at
    a given rate, whatever became of those before. Then it is *closed*: each tenant keeps a given number of requests under way, and sends
    the next when one is back.
    """)
    return


@app.cell
def _():
    read_bytes = mo.ui.dropdown([64, 256, 512, 1024, 4096], value=512, label="bytes a read")
    kind = mo.ui.dropdown(["poisson", "constant", "onoff"], value="poisson", label="open arrivals")
    think_ns = mo.ui.slider(0, 2000, step=250, value=0, label="closed: mean think time [ns]", show_value=True)
    mo.hstack([read_bytes, kind, think_ns], justify="start")
    return kind, read_bytes, think_ns


@app.cell
def _():
    arguments = mo.cli_args()
    data = sweeps.data_directory(arguments.get("data"))
    figures = sweeps.figures_directory(arguments.get("figures"))
    return data, figures


@app.cell
def _(data, kind, read_bytes):
    open_set = sweeps.sweep(
        "offered_load.toml",
        axes={LINK_LOAD: "0.1..0.8:0.1,0.85..0.95:0.05,0.975..1.025:0.025,1.05..1.2:0.05"},
        settings={"tenants.tenant.sizes": read_bytes.value, "tenants.tenant.arrivals.kind": kind.value},
        data=data,
    )
    return (open_set,)


@app.cell
def _(data, read_bytes, think_ns):
    closed_set = sweeps.sweep(
        "offered_load.toml",
        axes={OUTSTANDING: "1..6:1,8,10,12..32:4,48,64"},
        settings={
            "tenants.tenant.sizes": read_bytes.value,
            "tenants.tenant.arrivals.kind": "closed",
            "tenants.tenant.arrivals.think_ns": think_ns.value,
        },
        data=data,
    )
    return (closed_set,)


@app.cell
def _(read_bytes):
    # What docs/scenarios.md says of the link: 16 lanes of 16 GT/s, 128b/130b, and what flow control leaves of them.
    link_gbps = 16 * 16 * 128 / 130 * 0.9185
    # A read comes back in completions of at most 256 bytes, 20 bytes of header each.
    wire_bytes = read_bytes.value + 20 * -(-read_bytes.value // 256)
    service_ns = 8 * wire_bytes / link_gbps
    capacity_gbps = link_gbps * read_bytes.value / wire_bytes
    mo.md(f"A read of {read_bytes.value} bytes takes the link for {service_ns:.1f} ns: at most {capacity_gbps:.1f} Gb/s of payload.")
    return capacity_gbps, service_ns


@app.cell
def _(capacity_gbps, open_set, service_ns):
    _summary = sweeps.read(open_set, "summary").sort(LINK_LOAD)
    # A link with Poisson arrivals and a fixed service time is an M/D/1 queue: mean wait = service x load / 2 (1 - load),
    # on top of what a read takes alone.
    _alone_ns = _summary["latency_mean_ns"][0] - service_ns * _summary[LINK_LOAD][0] / (2 * (1 - _summary[LINK_LOAD][0]))
    open_loop = _summary.select(
        pl.col(LINK_LOAD).alias("link_load"),
        "read_gbps",
        "latency_mean_ns",
        "latency_p50_ns",
        "latency_p99_ns",
        "downstream_utilisation",
        offered_gbps=pl.col(LINK_LOAD) * capacity_gbps,
        bound_gbps=pl.min_horizontal(LINK_LOAD, 1.0) * capacity_gbps,
    ).with_columns(
        md1_mean_ns=pl.when(pl.col("link_load") < 0.99).then(
            _alone_ns + service_ns * pl.col("link_load") / (2 * (1 - pl.col("link_load")))
        )
    )
    open_loop
    return (open_loop,)


@app.cell
def _(capacity_gbps, closed_set, service_ns, think_ns):
    _summary = sweeps.read(closed_set, "summary").sort(OUTSTANDING)
    _alone_ns = _summary["latency_mean_ns"][0]
    closed_loop = _summary.select(
        clients=TENANTS * pl.col(OUTSTANDING),
        read_gbps="read_gbps",
        latency_mean_ns="latency_mean_ns",
        latency_p99_ns="latency_p99_ns",
        # Little's law: requests in a place = throughput x mean time in it; here under way, or thought about.
        little_clients=pl.col("dma_reads") / pl.col("simulated_ns") * (pl.col("latency_mean_ns") + think_ns.value),
    ).with_columns(
        # What bounds any closed loop: a client has at most one round after the other, and the link serves at most so many.
        bound_gbps=pl.min_horizontal(
            pl.col("clients") / (_alone_ns + think_ns.value) * service_ns * capacity_gbps, pl.lit(capacity_gbps)
        ),
        bound_ns=pl.max_horizontal(pl.lit(_alone_ns), pl.col("clients") * service_ns - think_ns.value),
    )
    closed_loop
    return (closed_loop,)


@app.cell
def _():
    MEAN, TAIL, THEORY = "simulated: throughput, mean latency", "simulated: 99th percentile of latency", "theory"
    _color = alt.Color("series:N", title=None).scale(domain=[MEAN, TAIL, THEORY], range=sweeps.KINDS[:3])

    def series(points, x, y, columns):
        """Columns of a table against x: theory as a dashed line, what is simulated as dots, the tail as rings."""
        _long = points.unpivot(on=list(columns), index=x.shorthand.split(":")[0]).drop_nulls()
        _chart = alt.Chart(_long.with_columns(series=pl.col("variable").replace_strict(columns))).encode(x=x, y=y, color=_color)
        _tail = _chart.transform_filter(alt.datum.series == TAIL)
        return alt.layer(
            _chart.transform_filter(alt.datum.series == THEORY).mark_line(strokeDash=[5, 4], strokeWidth=2),
            _tail.mark_line(strokeWidth=1.5, opacity=0.6),
            _tail.mark_point(size=70, strokeWidth=2),
            _chart.transform_filter(alt.datum.series == MEAN).mark_circle(size=36, opacity=1),
        ).properties(width=390, height=230)

    return MEAN, TAIL, THEORY, series


@app.cell
def _():
    OFFERED = alt.X("offered_gbps:Q", title="offered load, payload [Gb/s]").scale(zero=True).axis(tickCount=6)
    CLIENTS = (
        alt.X("clients:Q", title="requests kept under way, all tenants together")
        .scale(type="log", base=2)
        .axis(values=[2**n for n in range(2, 9)])
    )
    GBPS = alt.Y("value:Q", title="throughput, payload [Gb/s]").scale(zero=True)
    NS = (
        alt.Y("value:Q", title="latency [ns]")
        .scale(type="log", nice=False, padding=12)
        .axis(values=[m * 10**n for n in range(2, 8) for m in (1, 2, 5)])
    )
    return CLIENTS, GBPS, NS, OFFERED


@app.cell
def _(CLIENTS, GBPS, MEAN, NS, OFFERED, TAIL, THEORY, closed_loop, kind, open_loop, series):
    _gbps = {"read_gbps": MEAN, "bound_gbps": THEORY}
    _ns = {"latency_mean_ns": MEAN, "latency_p99_ns": TAIL}
    _queue = {"md1_mean_ns": THEORY} if kind.value == "poisson" else {}
    panels = alt.vconcat(
        alt.hconcat(
            series(open_loop, OFFERED, GBPS, _gbps).properties(title="Open: what is offered is carried ..."),
            series(open_loop, OFFERED, NS, _ns | _queue).properties(title="... and past the knee, waits without end"),
        ),
        alt.hconcat(
            series(closed_loop, CLIENTS, GBPS, _gbps).properties(title="Closed: the more under way, the more is carried ..."),
            series(closed_loop, CLIENTS, NS, _ns | {"bound_ns": THEORY}).properties(title="... and past the knee, it only waits longer"),
        ),
    )
    return (panels,)


@app.cell
def _(kind, panels, read_bytes, think_ns):
    _caption = [
        f"{TENANTS} tenants read {read_bytes.value} bytes a DMA through a PCIe Gen4 x16 link, all pages in the IOTLB; 200,000 DMAs a point. Open: arrivals {kind.value}, at a given rate;",
        f"theory: capacity of the link, M/D/1 queue. Closed: each tenant keeps as many requests under way, think time {think_ns.value} ns; theory: bounds of any closed loop.",
    ]
    figure = sweeps.look(
        panels.properties(title=alt.TitleParams("Where is the link's knee?", subtitle=_caption, fontSize=18))
    ).configure_legend(orient="bottom", labelFontSize=12, labelLimit=0, symbolSize=90, symbolOpacity=1)
    figure
    return (figure,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## What you see, and why

    - **Open.** The link carries all that is offered until it is busy all the time. The wait for it grows long before, because requests that come
      at random sometimes come together: as an M/D/1 queue has it, by load / (1 - load), and the 99th percentile several times
      faster than the mean. Past the capacity there is no steady state: the queue grows for as long as the run lasts, and the latency
      shown says how long that was. `constant` arrivals hardly wait before the knee; `onoff` ones wait far more.
    - **Closed.** With few requests under way the link idles while they travel: each more under way carries more, at no cost. The knee is
      where their number is the link's rate times the latency of a lone request. Past it, throughput stays, and by Little's law (number
      under way = throughput x mean latency) each more under way adds only its own wait. Latency is bounded, because the tenants
      wait: a closed loop never shows what overload does to tenants who do not.
    """)
    return


@app.cell
def _(capacity_gbps, closed_loop, open_loop):
    # Claims about the defaults, with margins that seeds 1 to 8 keep; other knobs may break them.
    _below = open_loop.filter(pl.col("link_load") < 0.96)
    _past = open_loop.filter(pl.col("link_load") > 1.04)
    claims = {
        "open, below the knee: what is offered is carried, within 2 %": ((_below["read_gbps"] / _below["offered_gbps"] - 1).abs() < 0.02).all(),
        "open, past the knee: the link's capacity is carried, within 0.1 %": ((_past["read_gbps"] / capacity_gbps - 1).abs() < 0.001).all(),
        "open, below the knee: the mean latency is that of an M/D/1 queue, within 5 %": (
            (_below["latency_mean_ns"] / _below["md1_mean_ns"] - 1).abs() < 0.05
        ).all(),
        "open: the 99th percentile doubles before the knee, and is 100 times as long past it": (
            _below["latency_p99_ns"][-1] > 2 * _below["latency_p99_ns"][0] and _past["latency_p99_ns"].min() > 100 * _below["latency_p99_ns"][0]
        ),
        "closed: Little's law, throughput x mean latency = requests under way, within 0.5 %": (
            (closed_loop["little_clients"] / closed_loop["clients"] - 1).abs() < 0.005
        ).all(),
        "closed: throughput is that of the bounds, within 1 %": ((closed_loop["read_gbps"] / closed_loop["bound_gbps"] - 1).abs() < 0.01).all(),
        "closed: latency is that of the bounds, within 1 %": ((closed_loop["latency_mean_ns"] / closed_loop["bound_ns"] - 1).abs() < 0.01).all(),
    }
    mo.md(sweeps.report(claims))
    return (claims,)


@app.cell
def _(claims, figure, figures):
    if mo.app_meta().mode == "script":
        print(sweeps.report(claims))
        if not all(claims.values()):
            sys.exit("The knee is not where it should be.")
        sweeps.save(figure, figures / "offered_load.png")
    return


if __name__ == "__main__":
    app.run()
