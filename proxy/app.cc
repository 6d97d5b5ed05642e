#include "proxy/app.h"

#include "config/bootstrap/static_resources.h"
#include "filters/peer_metadata.h"
#include "filters/registry.h"
#include "proxy/base/log.h"
#include "proxy/net/certificate.h"
#include "proxy/stats/histogram_buckets.h"
#include "proxy/stats/process_memory.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <thread>
#include <unistd.h>

namespace clew {

namespace {

/// From the bootstrap's value to what workers ask.
StatFilter stat_filter(const StatsConfig& config) {
  using From = StatsConfig::Matching;
  using To = StatFilter::Mode;
  switch (config.matching) {
    case From::all: return {To::all, {}};
    case From::none: return {To::none, {}};
    case From::inclusion: return {To::inclusion, config.patterns};
    case From::exclusion: return {To::exclusion, config.patterns};
  }
  return {};
}

std::vector<HistogramBuckets> histogram_buckets(const StatsConfig& config) {
  std::vector<HistogramBuckets> out;
  for (const auto& setting : config.histogram_buckets)
    out.push_back({[match = setting.match](std::string_view name) { return match.matches(name); }, setting.bounds});
  return out;
}

/// The whole content of a file, for others to read. That it cannot be written ends nothing, as in Envoy.
void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  if (!(file << text << std::flush)) CLEW_LOG(main, error, "{} cannot be written", path);
}

/// The signals that end us, as a descriptor. To be made before there are threads, which must not get them.
int open_signals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

constexpr unsigned control_index = 255;  // the last byte of its connections' and streams' ids

/// What comes together on the control thread out of the workers' answers.
template <class Part>
struct Gathered {
  std::vector<Part> parts;
  std::size_t missing = 0;
  Event complete;
};

/// Runs `ask` on every worker and waits for all answers.
template <class Part, class Ask>
Task<std::vector<Part>> gather(Worker& control, const std::vector<std::unique_ptr<WorkerRuntime>>& workers, Ask ask) {
  auto gathered = std::make_shared<Gathered<Part>>();
  gathered->missing = workers.size();
  for (const auto& runtime : workers) {
    runtime->worker().post([gathered, ask, &control, runtime = runtime.get()] {
      auto part = std::make_shared<Part>(ask(*runtime));
      control.post([gathered, part] {
        gathered->parts.push_back(std::move(*part));
        if (--gathered->missing == 0) gathered->complete.notify();
      });
    });
  }
  while (gathered->missing > 0) co_await gathered->complete.wait();
  std::vector<Part> parts = std::move(gathered->parts);
  co_return parts;
}

EndpointTotals totals_of(const Host& host) {
  const EndpointStats& stats = host.state->stats;
  EndpointTotals out;
  out.cx_active = static_cast<std::uint64_t>(stats.cx_active.value());
  out.rq_active = static_cast<std::uint64_t>(stats.rq_active.value());
  out.cx_connect_fail = stats.cx_connect_fail.value();
  out.cx_total = stats.cx_total.value();
  out.rq_error = stats.rq_error.value();
  out.rq_success = stats.rq_success.value();
  out.rq_timeout = stats.rq_timeout.value();
  out.rq_total = stats.rq_total.value();
  out.ejected = host.state->shared && host.state->shared->ejected.load(std::memory_order_relaxed);
  return out;
}

void add_endpoints(const ClusterState& cluster, ClusterEndpointTotals& totals) {
  auto& endpoints = totals[cluster.cluster()->name];
  cluster.for_each_host([&](const Host& host) { endpoints[host.state->address.to_string()] += totals_of(host); });
}

void merge(ClusterEndpointTotals& into, const ClusterEndpointTotals& from) {
  for (const auto& [cluster, endpoints] : from)
    for (const auto& [address, totals] : endpoints) into[cluster][address] += totals;
}

/// What the configuration allows, and not so many that nothing is left of the process's descriptors for upstreams, the
/// admin interface and files: a quarter stays with them.
std::int64_t connection_limit(std::uint64_t configured) {
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) == 0 && descriptors.rlim_cur != RLIM_INFINITY)
    configured = std::min<std::uint64_t>(configured, descriptors.rlim_cur - descriptors.rlim_cur / 4);
  return static_cast<std::int64_t>(std::min<std::uint64_t>(configured, INT64_MAX));
}

unsigned worker_count(const CommandLine& options) {
  const unsigned wanted = options.concurrency.value_or(std::thread::hardware_concurrency());
  return std::clamp(wanted, 1u, control_index);
}

}  // namespace

App::App(CommandLine options, Bootstrap bootstrap)
    : signals_(open_signals()),
      options_(std::move(options)),
      bootstrap_(std::move(bootstrap)),
      logs_({.flush_interval = options_.file_flush_interval, .flush_bytes = options_.file_flush_min_size}),
      connections_(connection_limit(bootstrap_.max_downstream_connections)),
      stat_filter_(stat_filter(bootstrap_.stats)),
      control_(control_index, clock_),
      control_clusters_(control_, connector_, upstreams_),
      control_forwarder_(control_clusters_),
      resolver_(control_),
      dns_(control_, resolver_,
           [this](const std::shared_ptr<const Cluster>& cluster, std::shared_ptr<const LoadAssignment> endpoints) {
             xds_.store().on_resolved(cluster, std::move(endpoints));
           }),
      xds_(
          control_, control_forwarder_,
          XdsSession::Options{bootstrap_.node.serialized, bootstrap_.ads ? bootstrap_.ads->cluster : "",
                              options_.drain_time},
          default_filter_registry(), [this](const auto& clusters) { dns_.watch(clusters); },
          [this](Update update) { publish(update); },
          [this](const std::string& path) {
            std::string error;
            logs_.open(path, &error);
            return error;
          }),
      admin_(control_, *this) {
  set_histogram_buckets(histogram_buckets(bootstrap_.stats));
  for (const auto& tag : bootstrap_.stats.tags)
    if (std::string problem = tags_.add({tag.name, tag.regex, tag.fixed_value}); !problem.empty())
      CLEW_LOG(config, warning, "stats tag {}: {}", tag.name, problem);
}

App::~App() { ::close(signals_); }

std::string App::load() {
  set_local_node(bootstrap_.node.serialized);
  if (bootstrap_.ads && !bootstrap_.ads->delta)
    return "the bootstrap asks for state-of-the-world ADS: clew speaks delta ADS, unset ISTIO_DELTA_XDS=false for this "
           "proxy";
  return add_static_resources(bootstrap_, xds_.store());
}

std::string App::start() {
  // Every thread that allocates would get an arena of its own: two are enough for threads that mostly use their own
  // slabs.
  mallopt(M_ARENA_MAX, 2);
  if (bootstrap_.admin_address) {
    if (std::string problem = admin_.start(*bootstrap_.admin_address); !problem.empty()) return problem;
    if (!options_.admin_address_path.empty()) write_text(options_.admin_address_path, admin_.address().to_string());
  }
  const WorkerRuntime::Shared shared{clock_,
                                     upstreams_,
                                     connector_,
                                     logs_,
                                     connections_,
                                     [this](const BindFailure& failure) { on_bind_failure(failure); },
                                     options_.drain_time};
  for (unsigned i = 0; i < worker_count(options_); ++i) workers_.push_back(std::make_unique<WorkerRuntime>(i, shared));
  xds_.store().start();
  workers_opening_ = workers_.size();
  for (auto& runtime : workers_) {
    runtime->worker().post([this] { control_.post([this] { on_worker_open(); }); });
    runtime->start();
  }
  workers_started_ = true;
  control_.post([this] { xds_.start(); });  // after the snapshot that has the control plane's cluster
  return {};
}

int App::run() {
  control_.loop().watch(signals_, EPOLLIN, *this);
  control_.run();
  control_.loop().unwatch(signals_, *this);
  stop_workers();
  return 0;
}

void App::on_ready(std::uint32_t) {
  signalfd_siginfo signal;
  if (::read(signals_, &signal, sizeof(signal)) != sizeof(signal)) return;
  CLEW_LOG(main, warning, "caught {}, exiting", signal.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
  quit();
}

void App::on_worker_open() {
  --workers_opening_;
  workers_open_at_ = clock_.now();
}

void App::publish(const Update& update) {
  for (auto& runtime : workers_) runtime->worker().publish(update);
  control_.publish(update);
}

/// On a worker's thread. Every worker fails alike; the first tells.
void App::on_bind_failure(const BindFailure& failure) {
  control_.post([this, failure] {
    if (bind_failures_.insert(failure.listener + " " + failure.error).second)
      CLEW_LOG(config, warning, "listener {}: {}", failure.listener, failure.error);
  });
}

void App::quit() {
  if (!std::exchange(quitting_, true)) spawn(control_.loop(), shut_down());
}

Task<void> App::shut_down() {
  xds_.stop();
  co_await admin_.finish(std::chrono::milliseconds(250));
  control_clusters_.close(Errc::canceled);
  // One more turn of the loop lets what was closed come to its end.
  control_.post([this] { control_.stop(); });
}

void App::stop_workers() {
  for (auto& runtime : workers_) runtime->stop();
  for (auto& runtime : workers_) runtime->join();
}

ServerState App::state() const {
  if (unhealthy_) return ServerState::draining;
  if (!workers_started_ || workers_opening_ > 0 || (bootstrap_.ads && !config().clusters_ready()))
    return ServerState::pre_initializing;
  if (bootstrap_.ads && !config().initialized()) return ServerState::initializing;
  return ServerState::live;
}

std::string App::version() const {
#ifdef OPENSSL_IS_AWSLC
  constexpr const char* tls_engine = "AWS-LC";
#else
  constexpr const char* tls_engine = "OpenSSL";
#endif
  return fmt::format("clew/{}/Clean/RELEASE/{}", CLEW_VERSION, tls_engine);
}

// ---- scraping ----

/// Of the certificate that expires first among those this process shows and trusts; as Envoy, the most there is without
/// any.
std::int64_t App::days_until_expiry() const {
  std::int64_t days = UINT32_MAX;
  const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
  for (const auto& [name, record] : config().secrets()) {
    if (!record.active) continue;
    const Secret& secret = *record.active->value;  // one of both
    for (const auto& certificate : parse_certificates(secret.certificate_chain + secret.trusted_ca)) {
      std::tm end{};
      if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1) continue;
      days = std::min(days, std::max<std::int64_t>((timegm(&end) - now) / 86400, 0));
    }
  }
  return days;
}

void App::collect_server(StatSink& sink) const {
  sink.gauge("server.state", static_cast<std::int64_t>(state()));
  const bool live = state() == ServerState::live;
  sink.gauge("server.live", live ? 1 : 0);
  sink.gauge("server.uptime", std::chrono::duration_cast<std::chrono::seconds>(uptime()).count());
  sink.gauge("server.concurrency", concurrency());
  const ProcessMemory memory = process_memory();
  sink.gauge("server.memory_allocated", static_cast<std::int64_t>(memory.allocated));
  sink.gauge("server.memory_heap_size", static_cast<std::int64_t>(memory.heap_size));
  sink.gauge("server.memory_physical_size", static_cast<std::int64_t>(memory.physical));
  sink.gauge("server.total_connections", connections_.active());
  sink.gauge("server.days_until_first_cert_expiring", days_until_expiry());
  sink.gauge("listener_manager.workers_started", workers_started_ ? 1 : 0);
  // There is no hot restart, and what is not known is refused.
  for (const char* none : {"server.hot_restart_epoch", "server.parent_connections"}) sink.gauge(none, 0);
  for (const char* none : {"server.static_unknown_fields", "server.dynamic_unknown_fields"}) sink.counter(none, 0);
  Histogram initialization;  // Envoy tells one value as a histogram
  if (live) {
    const TimePoint at = std::max(workers_open_at_, config().initialized_at().value_or(workers_open_at_));
    initialization.record(std::chrono::duration<double, std::milli>(at - started_).count());
  }
  sink.histogram("server.initialization_time_ms", initialization);
}

Task<StatSnapshot> App::stats(StatSelection filter) {
  filter.name = [this, asked = std::move(filter.name)](std::string_view name) {
    return stat_filter_.includes(name) && (!asked || asked(name));
  };
  const auto ask = [filter](const WorkerRuntime& runtime) {
    StatSnapshot part(filter);
    runtime.collect(part);
    return part;
  };
  std::vector<StatSnapshot> parts = co_await gather<StatSnapshot>(control_, workers_, ask);
  StatSnapshot all(std::move(filter));
  collect_server(all);
  config().collect(all);
  control_clusters_.collect(all);
  dns_.collect(all);
  collect_membership(*config().snapshot(), all);
  collect_circuit_breakers(*config().snapshot(), upstreams_, all);
  logs_.collect(all);
  for (const StatSnapshot& part : parts) all.merge(part);
  all.subtract(counted_before_);
  co_return all;
}

Task<ClusterEndpointTotals> App::endpoint_stats() {
  const auto ask = [](const WorkerRuntime& runtime) {
    ClusterEndpointTotals part;
    runtime.clusters().for_each([&](const ClusterState& cluster) { add_endpoints(cluster, part); });
    return part;
  };
  std::vector<ClusterEndpointTotals> parts = co_await gather<ClusterEndpointTotals>(control_, workers_, ask);
  ClusterEndpointTotals all;
  control_clusters_.for_each([&](const ClusterState& cluster) { add_endpoints(cluster, all); });
  for (const auto& part : parts) merge(all, part);
  co_return all;
}

// ---- draining ----

void App::drain_listeners(const DrainRequest& request) {
  const Drained wanted = request.inbound_only ? Drained::inbound : Drained::all;
  if (request.graceful && drained_ >= wanted) return;  // under way already, or over
  drained_ = std::max(drained_, wanted);
  CLEW_LOG(main, warning, "draining {} listeners{}", request.inbound_only ? "inbound" : "all",
           request.graceful ? " gracefully" : "");
  for (auto& runtime : workers_)
    runtime->worker().post(
        [runtime = runtime.get(), inbound_only = request.inbound_only] { runtime->listeners().drain(inbound_only); });
  if (request.skip_exit) return;
  const auto stop = [this, inbound_only = request.inbound_only] {
    for (auto& runtime : workers_)
      runtime->worker().post(
          [runtime = runtime.get(), inbound_only] { runtime->listeners().stop_accepting(inbound_only); });
  };
  if (!request.graceful) return stop();
  drain_end_.emplace(control_.timers(), stop);
  drain_end_->arm(options_.drain_time);
}

void App::fail_health_check(bool failing) {
  if (std::exchange(unhealthy_, failing) == failing) return;
  CLEW_LOG(main, warning, "health check {}", failing ? "fails" : "passes again");
  for (auto& runtime : workers_)
    runtime->worker().post([runtime = runtime.get(), failing] { runtime->listeners().set_unhealthy(failing); });
}

void App::reset_counters(const StatSnapshot& now) { counted_before_.merge(now); }

void App::reopen_logs() {
  logs_.reopen();
  if (options_.log_path.empty()) return;
  if (std::string problem = log::open_file(options_.log_path); !problem.empty())
    CLEW_LOG(main, error, "--log-path: {}", problem);
}

}  // namespace clew
