"""How far is the simulator from theory, and from hardware that somebody else measured?

    python theory_and_measurement.py [--data DIR] [--figures DIR]    # checks its claims, writes theory_and_measurement.png
    marimo edit theory_and_measurement.py                            # with a section to choose
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

    # By kind of row, and by bytes of a DMA.
    BASES = {"calibrated": sweeps.KINDS[2], "predicted": sweeps.KINDS[0]}
    BYTES = {"64": sweeps.SIZES[0], "128": sweeps.SIZES[1], "256": sweeps.SIZES[2], "512": sweeps.SIZES[3]}


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Theory and measurement beside simulation

    **How far is the simulator from theory, and from hardware that somebody else measured?**

    `portcullis validate` asks it what closed forms and published measurements have answered. Here is every row of it, and the curves of the sections that
    have curves: dots are theory or hardware, lines and crosses are simulated.
    """)
    return


@app.cell
def _():
    arguments = mo.cli_args()
    data = sweeps.data_directory(arguments.get("data"))
    figures = sweeps.figures_directory(arguments.get("figures"))
    return data, figures


@app.cell
def _(data):
    checks = pl.DataFrame(sweeps.validate(data)["checks"], infer_schema_length=None).with_columns(
        # The share of its tolerance that a row uses up; a bound from above may be far away.
        used=pl.when(pl.col("tolerance_kind") == "at_most").then(pl.max_horizontal("error", 0.0)).otherwise(pl.col("error"))
        / pl.col("tolerance").clip(1e-9),
    )
    return (checks,)


@app.cell
def _(checks):
    def curve(section, pattern):
        """The rows of a section that `pattern` describes, with its groups as columns."""
        of_section = checks.filter(pl.col("section") == section)
        groups = of_section.select(pl.col("what").str.extract_groups(pattern)).unnest("what")
        found = pl.concat([of_section, groups], how="horizontal").drop_nulls(groups.columns[0])
        numbers = [name for name in ("bytes", "pages") if name in found.columns]
        return found.with_columns(pl.col(numbers).cast(pl.UInt32)).sort(numbers)

    def beside(rows, x, title, unit, color, domain, dash=None):
        """Expected figures as dots, simulated ones as lines through crosses."""
        base = alt.Chart(rows).encode(
            x=alt.X(f"{x}:Q", title=title).scale(type="log", base=2),
            color=alt.Color(f"{color}:N", title=color.replace("_", " ")).scale(domain=list(domain), range=list(domain.values())),
            tooltip=["what", "expected", "simulated", "error"],
        )
        y = alt.Y("simulated:Q", title=unit)
        # A curve a colour, and a kind of dash.
        line = {"strokeDash": alt.StrokeDash(f"{dash}:N", title=dash)} if dash else {}
        return alt.layer(
            base.mark_line(strokeWidth=2).encode(y=y, **line),
            base.mark_point(shape="cross", size=40).encode(y=y),
            base.mark_point(filled=True, size=60, opacity=0.8).encode(y=alt.Y("expected:Q", title=unit)),
        ).properties(width=360, height=230)

    return beside, curve


@app.cell
def _(beside, curve):
    latency = curve(3, r"^(?<machine>\w+), (?<pages>\d+) pages(?<llc>, with its LLC.*)?$").with_columns(
        cache=pl.when(pl.col("llc").is_null()).then(pl.lit("all data cached")).otherwise(pl.lit("with its LLC"))
    )
    throughput = curve(4, r"^Broadwell, (?<direction>\w+) of (?<bytes>\d+) bytes, (?<pages>\d+) pages$")
    machines = {"Broadwell": sweeps.KINDS[0], "Haswell": sweeps.KINDS[1]}
    efficiency = curve(2, r"^(?<direction>[a-z ]+) of (?<bytes>\d+) bytes: the model$")
    directions = dict(zip(["reads", "writes", "reads and writes"], sweeps.KINDS))

    def of(direction):
        rows = throughput.filter(pl.col("direction") == direction).with_columns(pl.col("bytes").cast(pl.String))
        return beside(rows, "pages", "pages of 4 KiB touched at random", "payload [Gb/s]", "bytes", BYTES).properties(
            title=f"4: {direction} under IOTLB misses, Broadwell"
        )

    panels = [
        beside(efficiency, "bytes", "bytes of a DMA", "payload, one direction [Gb/s]", "direction", directions).properties(
            title="2: what a saturated Gen3 x8 link carries"
        ),
        beside(latency, "pages", "pages of 4 KiB touched at random", "mean latency [ns]", "machine", machines, "cache")
        .properties(title="3: one 64-byte read at a time")
        .resolve_scale(y="shared"),
        of("reads"),
        of("writes"),
    ]
    return (panels,)


@app.cell
def _(checks):
    _rule = alt.Chart(pl.DataFrame({"used": [-1, 1]})).mark_rule(color="#555555", strokeDash=[4, 4]).encode(x="used:Q")
    _strip = (
        alt.Chart(checks.select("section", "what", "basis", "expected", "simulated", "used"))
        .mark_tick(thickness=2, height=18)
        .encode(
            x=alt.X("used:Q", title="error / tolerance").scale(domain=[-1.1, 1.1], clamp=True),
            y=alt.Y("section:O", title="section"),
            color=alt.Color("basis:N", title="parameters").scale(domain=list(BASES), range=list(BASES.values())),
            tooltip=["what", "expected", "simulated"],
        )
    )
    overview = alt.layer(_strip, _rule, title="Every row, as a share of its tolerance").properties(width=820, height=170)
    return (overview,)


@app.cell
def _(checks, overview, panels):
    _passed = checks["passed"].sum()
    _caption = [
        "Dots: the PCIe model (2), and what pcie-bench measured on Broadwell and Haswell Xeons (3, 4). Lines and crosses: simulated, one set of parameters a machine.",
        f"`portcullis validate`: {_passed} of {checks.height} rows are within their tolerance.",
    ]
    figure = sweeps.look(
        alt.vconcat(overview, alt.hconcat(*panels[:2]).resolve_scale(color="independent", strokeDash="independent"), alt.hconcat(*panels[2:]))
        .resolve_scale(color="independent", strokeDash="independent")
        .properties(title=alt.TitleParams("Theory and measurement beside simulation", subtitle=_caption, fontSize=18))
    )
    figure
    return (figure,)


@app.cell
def _(checks):
    section = mo.ui.dropdown({f"section {number}": number for number in checks["section"].unique().sort()}, value="section 1", label="rows of")
    section
    return (section,)


@app.cell
def _(checks, section):
    mo.ui.table(checks.filter(pl.col("section") == section.value).select("what", "source", "basis", "expected", "simulated", "unit", "error", "tolerance", "passed"))
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## What you see, and why

    - **A link** carries payload and headers. Small DMAs pay a header each, and 257 bytes two, where MPS is 256. Devices may be slower than their link at small
      sizes; the model is that of the link alone.
    - **One read at a time** shows a hit and a walk: latency is L + W (1 - C / N) over N pages of an IOTLB of C entries. Beyond 2,048 pages the data leaves the
      last-level cache, too.
    - **Many at a time** wait for walkers: writes follow walkers / (miss ratio x walk), whatever their size, until device or link are slower than that.
    - **Reads in order** fare worse, as each waits for the longest walk of those issued before it: a walk's time varies, and reads show it where writes do not. The
      device's own rate keeps it from catching up, so that 256 bytes fall below both limits.
    - **Calibrated or predicted**: a grey row says that parameters were fitted to that very curve. Blue ones prove something.
    """)
    return


@app.cell
def _(checks):
    _known = checks["known_miss"].is_not_null()
    _little = checks.filter(pl.col("what").str.ends_with("Little"), pl.col("what").str.starts_with("rate x latency over"))
    claims = {
        "every row is within its tolerance, or is known to miss": (checks["passed"] | _known).all(),
        "no row that is known to miss passes by now": not (checks["passed"] & _known).any(),
        "Little's law holds in every run, within 0.1 %": _little.height == checks["section"].n_unique() and _little["passed"].all(),
        "sections 1 to 4 and 7 are there": {1, 2, 3, 4, 7} <= set(checks["section"]),
        "most rows of closed forms use less than half of their tolerance": (checks.filter(pl.col("section") == 1)["used"].abs() < 0.5).mean() > 0.5,
        "half of all rows at least prove something: nothing was fitted to them": (checks["basis"] == "predicted").mean() >= 0.5,
    }
    mo.md(sweeps.report(claims))
    return (claims,)


@app.cell
def _(claims, figure, figures):
    if mo.app_meta().mode == "script":
        print(sweeps.report(claims))
        if not all(claims.values()):
            sys.exit("The simulator is not where theory and measurement are.")
        sweeps.save(figure, figures / "theory_and_measurement.png")
    return


if __name__ == "__main__":
    app.run()
