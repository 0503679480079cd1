"""Writes the dashboards from the .yml files beside this: `python -m monitoring.dashboards.build`.

A panel there has a `title`, a `description`, a `unit` (Grafana's id) and `queries`: PromQL by legend. `<E>`,
`<H>` and `<V>` in it stand for the dashboard's variables endpoint, host, and variant with release. Instead of
`queries`, `quantiles` asks for p50, p90 and p99 of a histogram. `colours` paints a figure by its value,
`limits` draws lines; `more` is merged into Grafana's `fieldConfig.defaults`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

HERE = Path(__file__).parent
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
TITLES = {"service": "Service", "model": "Model", "host": "Host and GPU"}

E = 'endpoint=~"$endpoint"'
H = 'host=~"$host"'
V = 'variant=~"$variant",release=~"$release"'


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Quantiles(_Strict):
    """A histogram, which of its series, and the labels that stay."""

    of: str
    where: str
    by: list[str]

    def queries(self) -> dict[str, str]:
        """Return p50, p90 and p99 as PromQL by legend."""
        legend = " ".join(f"{{{{{label}}}}}" for label in self.by)
        labels = ", ".join((*self.by, "le"))
        return {
            f"{legend} p{q}".strip(): f"histogram_quantile({q / 100}, sum by ({labels}) "
            f"(rate({self.of}_bucket{{{self.where}}}[$__rate_interval])))"
            for q in (50, 90, 99)
        }


class Panel(_Strict):
    """One panel, as the module's docstring tells."""

    title: str
    description: str
    unit: str
    queries: dict[str, str] = {}
    quantiles: Quantiles | None = None
    kind: str = "timeseries"
    width: int = 8
    stack: bool = False
    colours: list[tuple[float | None, str]] = []
    limits: list[tuple[float | None, str]] = []
    more: dict[str, Any] = {}


class Row(_Strict):
    """A row's title, and its panels from left to right, 24 columns to a line."""

    row: str
    height: int
    panels: list[Panel]


def dashboard(name: str, rows: list[Row]) -> dict[str, Any]:
    """Return a dashboard as Grafana imports it."""
    return {
        "uid": f"springboard-{name}",
        "title": f"Springboard / {TITLES[name]}",
        "tags": ["springboard"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "links": [
            {
                "title": title,
                "type": "link",
                "icon": "dashboard",
                "url": f"/d/springboard-{other}",
                "tooltip": f"The dashboard {title}, for the same time and variables",
                "tags": [],
                "asDropdown": False,
                "targetBlank": False,
                "includeVars": True,
                "keepTime": True,
            }
            for other, title in TITLES.items()
            if other != name
        ],
        "templating": {"list": list(_variables())},
        "annotations": {"list": list(_annotations())},
        "panels": list(_panels(rows)),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
        "multi": False,
        "includeAll": False,
    }
    # The shadow answers nobody; its row on the dashboard Model needs no variable.
    of = "springboard_requests_total{" + E
    for name, query in (
        ("endpoint", "label_values(springboard_release_info, endpoint)"),
        ("host", f"label_values(springboard_release_info{{{E}}}, host)"),
        ("variant", f'label_values({of},{H},variant!=""}}, variant)'),
        ("release", f'label_values({of},{H},variant=~"$variant",release!=""}}, release)'),
    ):
        yield {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "hide": 0,
        }


def _annotations() -> Iterator[dict[str, Any]]:
    for name, colour, expression, title in (
        (
            "Deploys",
            "blue",
            # A release that was not there a minute ago, after an edit: a gap in the scrapes is no deployment,
            # and a release that comes back soon is one.
            f"springboard_release_info{{{H}}} unless springboard_release_info{{{H}}} offset 1m "
            f"and on (host) changes(springboard_endpoint_file_modified_seconds{{{H}}}[5m]) > 0",
            "{{host}}: {{variant}} is {{release}}",
        ),
        (
            "Weights",
            "purple",
            f"changes(springboard_variant_weight{{{H}}}[1m]) > 0",
            "{{host}}: another weight for {{variant}} {{release}}",
        ),
        (
            "Alerts",
            "red",
            'ALERTS{alertstate="firing",severity="critical"}',
            "{{alertname}} {{host}}{{endpoint}}",
        ),
    ):
        yield {
            "name": name,
            "datasource": DATASOURCE,
            "enable": True,
            "hide": False,
            "iconColor": colour,
            "titleFormat": title,
            "target": {"refId": "Annotation", "expr": expression, "interval": "30s", "range": True},
        }


def _panels(rows: list[Row]) -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for row in rows:
        yield {
            "id": number,
            "type": "row",
            "title": row.row,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": 24, "h": 1},
            "panels": [],
        }
        number, top, left = number + 1, top + 1, 0
        for panel in row.panels:
            if left + panel.width > 24:
                left, top = 0, top + row.height
            place = {"x": left, "y": top, "w": panel.width, "h": row.height}
            yield {"id": number, "gridPos": place} | _panel(panel)
            number, left = number + 1, left + panel.width
        top += row.height


def _panel(panel: Panel) -> dict[str, Any]:
    queries = panel.quantiles.queries() if panel.quantiles else panel.queries
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": [
            {
                "refId": chr(ord("A") + n),
                "datasource": DATASOURCE,
                "expr": expression.replace("<E>", E).replace("<H>", H).replace("<V>", V),
                "legendFormat": legend or "__auto",
                "editorMode": "code",
                "range": True,
                "instant": False,
                **({"format": "heatmap"} if panel.kind == "heatmap" else {}),
            }
            for n, (legend, expression) in enumerate(queries.items())
        ],
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    # A query that fails shows its error; one that finds nothing says so.
    defaults = {"unit": panel.unit, "noValue": "none", **panel.more}
    if steps := panel.colours or panel.limits:
        coloured = [{"value": value, "color": colour} for value, colour in steps]
        defaults["thresholds"] = {"mode": "absolute", "steps": coloured}
    if panel.colours:
        defaults["color"] = {"mode": "thresholds"}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stack else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stack else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if panel.limits else "off"},
        }
    return defaults


_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "showPercentChange": False,
        "wideLayout": True,
    },
    "heatmap": {
        "calculate": False,
        "yAxis": {"axisPlacement": "left", "reverse": False},
        "color": {
            "mode": "scheme",
            "scheme": "Blues",
            "steps": 64,
            "exponent": 0.5,
            "fill": "dark-blue",
            "reverse": False,
        },
        "exemplars": {"color": "orange"},
        "showValue": "never",
        "cellGap": 1,
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": True},
    },
}


def rows(name: str) -> list[Row]:
    """Read one dashboard's rows."""
    return [Row.model_validate(row) for row in yaml.safe_load((HERE / f"{name}.yml").read_text())]


def render() -> dict[str, str]:
    """Return the dashboards' files, by name."""
    return {
        f"{name}.json": json.dumps(dashboard(name, rows(name)), indent=1, ensure_ascii=False) + "\n"
        for name in TITLES
    }


def main() -> None:
    """Write them beside this file."""
    for name, text in render().items():
        (HERE / name).write_text(text)


if __name__ == "__main__":
    main()
