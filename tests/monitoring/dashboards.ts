// Grafana's own types, applied to the dashboards as TypeScript sees JSON: enums by their values.
import type { Dashboard, DataQuery, Panel, RowPanel } from "@grafana/schema";
import type {
  Options as TimeSeriesOptions,
  FieldConfig as TimeSeriesField,
} from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
import type { Options as StatOptions } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { Options as HeatmapOptions } from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";

type Json<T> = T extends string
  ? `${T}`
  : T extends number
    ? T extends number ? number : never
    : T extends readonly (infer U)[]
      ? Json<U>[]
      : T extends object
        ? { [K in keyof T]: Json<T[K]> }
        : T;

// The Prometheus plugin's own query, which the library leaves out.
interface PrometheusQuery extends DataQuery {
  expr: string;
  legendFormat?: string;
  editorMode?: "code" | "builder";
  range?: boolean;
  instant?: boolean;
  interval?: string;
  format?: "time_series" | "table" | "heatmap";
}

type Of<Kind extends string, Options, Field = Record<string, never>> = Omit<
  Panel<Options, Field>, "type" | "options" | "targets"
> & { type: Kind; options: Options; targets: PrometheusQuery[] };

type StrictPanel =
  | Of<"timeseries", TimeSeriesOptions, TimeSeriesField>
  | Of<"stat", StatOptions>
  | Of<"heatmap", HeatmapOptions>
  | RowPanel;

type Annotation = NonNullable<NonNullable<Dashboard["annotations"]>["list"]>[number];

export type Strict = Json<
  Omit<Dashboard, "panels" | "annotations"> & {
    panels: StrictPanel[];
    annotations: { list: (Omit<Annotation, "target"> & { target: PrometheusQuery; titleFormat: string })[] };
  }
>;
