"""How many tenants does an IOTLB carry before their pages push each other out?

    python iotlb_cliff.py [--data DIR] [--figures DIR]    # checks its claims, writes iotlb_cliff.png
    marimo edit iotlb_cliff.py                            # with knobs to turn
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

    ENTRIES = [256, 512, 1024, 2048]
    TENANTS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]


@app.cell(hide_code=True)
def _():
    mo.md("""
    # The cliff of the IOTLB

    **How many tenants does an IOTLB carry before their pages push each other out?**

    Each tenant goes round a ring of 4 KiB pages, a DMA a page. All tenants together offer the same load, however many they
    are: 60 % of a Gen4 x16 link. So more tenants mean more pages in use and nothing else.
    """)
    return


@app.cell
def _():
    pages_per_tenant = mo.ui.dropdown([8, 16, 32, 64, 128], value=32, label="pages a tenant")
    pattern = mo.ui.dropdown(["ring", "uniform", "zipf"], value="ring", label="access pattern")
    replacement = mo.ui.dropdown(["lru", "fifo", "plru", "random"], value="lru", label="replacement policy")
    ways = mo.ui.dropdown(["4", "8", "16", "full"], value="8", label="ways")
    walkers = mo.ui.dropdown([4, 5, 6, 8, 16, 32], value=16, label="walkers")
    mo.hstack([pages_per_tenant, pattern, replacement, ways, walkers], wrap=True, justify="start")
    return pages_per_tenant, pattern, replacement, walkers, ways


@app.cell
def _():
    arguments = mo.cli_args()
    data = sweeps.data_directory(arguments.get("data"))
    figures = sweeps.figures_directory(arguments.get("figures"))
    return data, figures


@app.cell
def _(data, pages_per_tenant, pattern, replacement, walkers, ways):
    data_set = sweeps.sweep(
        "iotlb_cliff.toml",
        axes={
            "iommu.iotlb.entries": ",".join(map(str, ENTRIES)),
            "topology.vfs_per_adapter": ",".join(map(str, TENANTS)),
        },
        settings={
            "tenants.tenant.memory.pages": pages_per_tenant.value,
            "tenants.tenant.pattern.kind": pattern.value,
            "iommu.iotlb.replacement": replacement.value,
            "iommu.iotlb.ways": ways.value,
            "iommu.walkers.count": walkers.value,
        },
        data=data,
    )
    return (data_set,)


@app.cell
def _(data_set, pages_per_tenant):
    # Tenants are alike, so a ratio of their mean latencies is luck or injustice, not their own doing.
    _luck = (
        sweeps.read(data_set, "tenants")
        .group_by("point")
        .agg(slowest_to_fastest=pl.col("latency_mean_ns").max() / pl.col("latency_mean_ns").min())
    )
    points = (
        sweeps.read(data_set, "summary")
        .join(_luck, on="point", validate="1:1")
        .select(
            pl.col("iommu.iotlb.entries").alias("entries"),
            pl.col("topology.vfs_per_adapter").alias("tenants"),
            "iotlb_hit_ratio",
            "latency_p50_ns",
            "latency_p99_ns",
            "fairness_jain",
            "slowest_to_fastest",
            "walker_utilisation",
        )
        .with_columns(pages_to_entries=pl.col("tenants") * pages_per_tenant.value / pl.col("entries"))
        .sort("entries", "tenants")
    )
    return (points,)


@app.cell
def _():
    TENANTS_AXIS = alt.X("tenants:Q", title="tenants (VFs)").scale(type="log", base=2).axis(values=[2**n for n in range(8)])
    PAGES_AXIS = (
        alt.X("pages_to_entries:Q", title="pages in use / IOTLB entries")
        .scale(type="log", base=2)
        .axis(values=[2.0**n for n in range(-6, 5)], labelExpr="datum.value < 1 ? '1/' + format(1 / datum.value, 'd') : format(datum.value, 'd')")
    )
    # With too few walkers latencies span decades; without, the eye wants them from 0.
    MEASURES = {
        "iotlb_hit_ratio": ("IOTLB hit ratio", alt.Scale(domain=[0, 1])),
        "latency_p50_ns": ("latency, median [ns]", alt.Scale(type="log")),
        "latency_p99_ns": ("latency, 99th percentile [ns]", alt.Scale(type="log")),
        "slowest_to_fastest": ("mean latency, slowest / fastest tenant", alt.Scale(zero=False)),
        "fairness_jain": ("Jain's index of throughput", alt.Scale(domain=[0, 1])),
        "walker_utilisation": ("utilisation of the walkers", alt.Scale(domain=[0, 1])),
    }
    return MEASURES, PAGES_AXIS, TENANTS_AXIS


@app.cell
def _(MEASURES):
    def lines(points, x, measure, title=None, scale=None, dash=None):
        """A measure, a line for each IOTLB size; title and scale of the measure, unless given."""
        usual_title, usual_scale = MEASURES[measure]
        return (
            alt.Chart(points)
            .mark_line(point=alt.OverlayMarkDef(size=36, filled=True), strokeWidth=2, strokeDash=dash or [1, 0])
            .encode(
                x=x,
                y=alt.Y(f"{measure}:Q", title=title or usual_title).scale(scale or usual_scale),
                color=alt.Color("entries:O", title="IOTLB entries").scale(domain=ENTRIES, range=sweeps.SIZES),
                tooltip=list(points.columns),
            )
            .properties(width=360, height=230)
        )

    return (lines,)


@app.cell
def _(MEASURES):
    measure = mo.ui.dropdown({title: name for name, (title, _) in MEASURES.items()}, value="IOTLB hit ratio", label="measure")
    against = mo.ui.dropdown(["tenants", "pages / entries"], value="tenants", label="against")
    mo.hstack([measure, against], justify="start")
    return against, measure


@app.cell
def _(PAGES_AXIS, TENANTS_AXIS, against, lines, measure, points):
    sweeps.look(lines(points, TENANTS_AXIS if against.value == "tenants" else PAGES_AXIS, measure.value))
    return


@app.cell
def _(PAGES_AXIS, TENANTS_AXIS, lines, points):
    _one = alt.Chart(pl.DataFrame({"pages_to_entries": [1.0]}))
    _latency = {"title": "latency [ns]: p99 solid, p50 dashed", "scale": alt.Scale(zero=True)}
    panels = alt.vconcat(
        alt.hconcat(
            lines(points, TENANTS_AXIS, "iotlb_hit_ratio").properties(title="Every IOTLB has its cliff ..."),
            alt.layer(
                _one.mark_rule(color="#555555", strokeDash=[4, 4]).encode(x=PAGES_AXIS),
                lines(points, PAGES_AXIS, "iotlb_hit_ratio"),
                title="... where the pages outgrow the entries",
            ),
        ),
        alt.hconcat(
            alt.layer(
                lines(points, TENANTS_AXIS, "latency_p99_ns", **_latency),
                lines(points, TENANTS_AXIS, "latency_p50_ns", **_latency, dash=[5, 4]),
                title="Behind it, most DMAs wait for a walk",
            ),
            lines(points, TENANTS_AXIS, "slowest_to_fastest").properties(title="On the way down, luck decides who is slow"),
        ),
    )
    return (panels,)


@app.cell
def _(pages_per_tenant, panels, pattern, replacement, walkers, ways):
    _caption = [
        f"Each tenant reads 1 KiB a DMA from {pages_per_tenant.value} pages of 4 KiB (pattern: {pattern.value}); together they load 60 % of a PCIe Gen4 x16 link, however many",
        f"they are. IOTLB: {replacement.value}, ways: {ways.value}, hashed index. {walkers.value} walkers, 320 ns a walk. 200,000 DMAs a point, tenants all alike.",
    ]
    figure = sweeps.look(
        panels.properties(title=alt.TitleParams("How many tenants does an IOTLB carry?", subtitle=_caption, fontSize=18))
    )
    figure
    return (figure,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## What you see, and why

    - **A cliff, not a slope.** In a ring a page is needed again only after all other pages of its tenant, while the other tenants
      went round theirs. As long as tenants x pages fit the IOTLB, every page is still there; once they do not, LRU has always just
      evicted the page that comes next, and nearly every look-up misses. Twice the entries move the cliff by twice the tenants: against
      pages / entries all curves are one.
    - **It begins early.** With 8 ways the hash fills some sets before others: at half the entries the first sets overflow. Set the
      ways to `full`, and the curve is a step at 1; set the policy to `random`, and it is a gentle slope.
    - **Latency** changes by one walk of 4 x 80 ns. The 99th percentile rises first, with the first misses; the median when half of the
      look-ups miss. With 5 walkers or fewer the walks cannot keep up, and latency grows for as long as the run lasts.
    - **Fairness.** Each tenant gets the throughput it asked for: Jain's index is 1 everywhere. Yet on the way down tenants that are all alike
      differ in latency: one has its pages in crowded sets and goes on missing round after round, another has not. Before the cliff
      all hit, behind it all miss, and they are equal again.
    """)
    return


@app.cell
def _(points):
    # Claims about the defaults, with margins that seeds 1 to 8 keep; other knobs may break them.
    _fits = points.filter(pl.col("pages_to_entries") <= 0.25)
    _too_many = points.filter(pl.col("pages_to_entries") >= 2)
    _falling = points.filter(pl.col("pages_to_entries").is_between(0.5, 1.5))
    _falls = points.group_by("entries", maintain_order=True).agg(falls=(pl.col("iotlb_hit_ratio").diff() < 0.01).all())
    claims = {
        "every point of the sweep is there": points.height == len(ENTRIES) * len(TENANTS),
        "pages that fill a quarter of the entries hit: more than 99 %": _fits["iotlb_hit_ratio"].min() > 0.99,
        "pages of twice the entries miss: hits less than 5 %": _too_many["iotlb_hit_ratio"].max() < 0.05,
        "no size gains hits from more tenants": _falls["falls"].all(),
        "behind the cliff the median is a walk longer, 320 ns within 15 %": abs(
            _too_many["latency_p50_ns"].median() - _fits["latency_p50_ns"].median() - 320
        )
        < 48,
        "throughput is shared fairly everywhere: Jain's index over 0.999": points["fairness_jain"].min() > 0.999,
        "tenants differ most on the way down: by more than 15 %, elsewhere by less than 10 %": _falling["slowest_to_fastest"].max() > 1.15
        and pl.concat([_fits, _too_many])["slowest_to_fastest"].max() < 1.1,
    }
    mo.md(sweeps.report(claims))
    return (claims,)


@app.cell
def _(claims, figure, figures):
    if mo.app_meta().mode == "script":
        print(sweeps.report(claims))
        if not all(claims.values()):
            sys.exit("The cliff is not where it should be.")
        sweeps.save(figure, figures / "iotlb_cliff.png")
    return


if __name__ == "__main__":
    app.run()
