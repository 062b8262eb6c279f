//! `/metrics`: every number of [`metrics`](crate::metrics) for Prometheus, under HAProxy's names where it has one.
//!
//! Values are read from the view when somebody asks. There is no label by key.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::App;
use super::gate::Rights;
use super::problem::Problem;
use crate::config::Level;
use crate::metrics::{self, Kind, Metric, Unit};
use crate::view::View;

/// Prefix of our names in `show info`.
const OURS: &str = "Stickd_";

/// Show all metrics in the text format of Prometheus, or of OpenMetrics where the client wants that.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "process",
    responses((status = 200, body = String, content_type = "text/plain"), (status = "4XX", body = Problem)),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    rights: Rights,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    rights.need(Level::User)?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(app.context.view())));
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut out = String::new();
    let (encoded, content_type) = if accepts.contains("application/openmetrics-text") {
        (text::encode(&mut out, &registry), "application/openmetrics-text; version=1.0.0; charset=utf-8")
    } else {
        (prometheus_text::encode(&mut out, &registry), "text/plain; version=0.0.4; charset=utf-8")
    };
    encoded.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written"))?;
    Ok(([(header::CONTENT_TYPE, content_type)], out).into_response())
}

/// Everything at one moment.
#[derive(Debug)]
struct Snapshot(View);

/// Names and values of labels.
type Labels = Vec<(&'static str, String)>;

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let View { process, tables, sections, hubs } = &self.0;
        for metric in metrics::process().iter() {
            let ours = metric.name.strip_prefix(OURS).map(str::to_lowercase);
            // What tables have each, needs no sum.
            if let Some(name) = ours.filter(|name| metrics::TABLE.iter().all(|metric| metric.name != name)) {
                one(&mut encoder, &format!("stickd_{name}"), metric, process)?;
            }
            if let Some(name) = metric.haproxy_exporter {
                one(&mut encoder, name, metric, process)?;
            }
        }
        let tables: Vec<_> = tables
            .iter()
            .map(|table| (table, vec![("name", table.name.clone()), ("type", table.key_type.to_owned())]))
            .collect();
        each(&mut encoder, metrics::TABLE, &tables)?;
        let peers = sections.iter().flat_map(|section| section.peers.iter().map(move |peer| (section, peer)));
        let peers: Vec<_> = peers
            .filter(|(_, peer)| !peer.local)
            .map(|(section, peer)| {
                (peer, vec![("section", section.name.clone()), ("peer", peer.name.clone())])
            })
            .collect();
        each(&mut encoder, metrics::PEER, &peers)?;
        self.peer_info(&mut encoder)?;
        let named: Vec<_> = hubs.iter().map(|hub| (hub, vec![("section", hub.name.clone())])).collect();
        each(&mut encoder, metrics::HUB, &named)?;
        let sums = hubs.iter().flat_map(|hub| hub.sums.iter().map(move |sum| (hub, sum)));
        let sums: Vec<_> = sums
            .map(|(hub, sum)| {
                let labels = [
                    ("section", hub.name.clone()),
                    ("table", sum.table.clone()),
                    ("result", sum.result.clone()),
                ];
                (sum, labels.to_vec())
            })
            .collect();
        each(&mut encoder, metrics::SUM, &sums)
    }
}

impl Snapshot {
    /// What a peer is, as labels of a constant.
    fn peer_info(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Address, protocol version and state of the peer";
        let mut family = encoder.encode_descriptor("stickd_peer_info", help, None, MetricType::Gauge)?;
        for section in &self.0.sections {
            for peer in section.peers.iter().filter(|peer| !peer.local) {
                let labels: Labels = vec![
                    ("section", section.name.clone()),
                    ("peer", peer.name.clone()),
                    ("address", peer.address.clone()),
                    ("version", peer.version.clone()),
                    ("state", peer.state.to_string().to_lowercase()),
                ];
                family.encode_family(&labels)?.encode_gauge(&1_u64)?;
            }
        }
        Ok(())
    }
}

/// The name with a base unit, and what its values are divided by.
fn base_unit<V>(name: &str, metric: &Metric<V>) -> (String, f64) {
    match metric.unit {
        Unit::Milliseconds => (format!("{}_seconds", name.trim_end_matches("_ms")), 1000.0),
        // The encoder adds it again.
        _ if metric.kind == Kind::Counter => (name.trim_end_matches("_total").to_owned(), 1.0),
        _ => (name.to_owned(), 1.0),
    }
}

fn descriptor<'e, V>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    metric: &'e Metric<V>,
    kind: Kind,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    let kind = if kind == Kind::Counter { MetricType::Counter } else { MetricType::Gauge };
    encoder.encode_descriptor(name, metric.help, None, kind)
}

fn put(mut encoder: MetricEncoder<'_>, kind: Kind, value: u64, divisor: f64) -> fmt::Result {
    if kind == Kind::Counter {
        encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
    } else if divisor == 1.0 {
        encoder.encode_gauge(&value)
    } else {
        encoder.encode_gauge(&(value as f64 / divisor))
    }
}

/// A number of the process; nothing when it is not there.
fn one<V>(encoder: &mut DescriptorEncoder<'_>, name: &str, metric: &Metric<V>, view: &V) -> fmt::Result {
    let Some(value) = metric.read(view) else { return Ok(()) };
    let (name, divisor) = base_unit(name, metric);
    put(descriptor(encoder, &name, metric, metric.kind)?, metric.kind, value, divisor)
}

/// Numbers of each of several objects.
fn each<V>(encoder: &mut DescriptorEncoder<'_>, all: &[Metric<V>], objects: &[(&V, Labels)]) -> fmt::Result {
    for metric in all {
        let (name, divisor) = base_unit(&format!("stickd_{}", metric.name), metric);
        for name in [Some(name.as_str()), metric.haproxy_exporter].into_iter().flatten() {
            // HAProxy has counters of tables as gauges; the encoder would rename them.
            let is_ours = name.starts_with("stickd_");
            let kind = if is_ours { metric.kind } else { Kind::Gauge };
            let mut family = descriptor(encoder, name, metric, kind)?;
            for (view, labels) in objects {
                if let Some(value) = metric.read(view) {
                    put(family.encode_family(labels)?, kind, value, divisor)?;
                }
            }
        }
    }
    Ok(())
}
