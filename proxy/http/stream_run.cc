#include "proxy/http/stream_run.h"

#include "proxy/base/log.h"
#include "proxy/http/local_reply.h"
#include "proxy/http/route_match.h"
#include "proxy/http/server_connection.h"

#include <algorithm>
#include <utility>

namespace clew {

/// Counts what passes. Cut off from its stream by cancel() or the stream's end.
class MeteredBody final : public Body {
 public:
  MeteredBody(StreamRun& run, BodyPtr inner, bool request) : inner_(std::move(inner)), run_(&run), request_(request) {}
  ~MeteredBody() override { detach(); }

  Result<std::size_t> try_read(Buffer& into, std::size_t max) override {
    const Result<std::size_t> got = inner_->try_read(into, max);
    if (!run_ || (!got && got.error().code == Errc::would_block)) return got;
    StreamInfo& info = run_->stream_.info;
    if (got) {
      (request_ ? info.bytes_received : info.bytes_sent) += *got;
      run_->active();
    } else if (got.error().code != Errc::eof) {
      (request_ ? run_->request_error_ : run_->response_error_) = got.error().code;
    } else if (request_) {
      run_->request_ended();
    } else {
      run_->stream_.response_trailers = inner_->trailers();
    }
    return got;
  }
  Task<Result<void>> readable() override { return inner_->readable(); }
  HeaderMap* trailers() override { return inner_->trailers(); }
  void cancel(Errc cause) noexcept override {
    detach();
    inner_->cancel(cause);
  }
  void detach() {
    if (StreamRun* run = std::exchange(run_, nullptr)) (request_ ? run->request_body_ : run->response_body_) = nullptr;
  }

 private:
  const BodyPtr inner_;
  StreamRun* run_;
  const bool request_;
};

StreamRun::StreamRun(Stream& stream, Forwarder& forwarder, ResponseWriter& writer)
    : stream_(stream),
      forwarder_(forwarder),
      writer_(writer),
      idle_timer_(stream.worker.timers(), [this] { time_over(Errc::stream_idle_timeout); }) {}

StreamRun::~StreamRun() {
  if (request_body_) request_body_->detach();
  if (response_body_) response_body_->detach();
}

void StreamRun::begin() {
  if (HttpServerStats* stats = stream_.http_stats) {
    stats->downstream_rq_total.add();
    stats->downstream_rq_active.add();
  }
  const HttpConnectionManager& hcm = stream_.hcm;
  idle_ = hcm.stream_idle_timeout;
  active();
  if (hcm.request_timeout > Duration::zero() && !stream_.request.end_stream)
    request_timer_ = limit(hcm.request_timeout, Errc::request_timeout);
  if (hcm.max_stream_duration && *hcm.max_stream_duration > Duration::zero())
    duration_timer_ = limit(*hcm.max_stream_duration, Errc::max_stream_duration);
}

std::unique_ptr<Timer> StreamRun::limit(Duration after, Errc cause) {
  auto timer = std::make_unique<Timer>(stream_.worker.timers(), [this, cause] { time_over(cause); });
  timer->arm(after);
  return timer;
}

BodyPtr StreamRun::meter_request(BodyPtr body) {
  if (!body) {
    request_ended();
    return nullptr;
  }
  auto metered = std::make_unique<MeteredBody>(*this, std::move(body), true);
  request_body_ = metered.get();
  return metered;
}

BodyPtr StreamRun::meter_response(BodyPtr body) {
  auto metered = std::make_unique<MeteredBody>(*this, std::move(body), false);
  response_body_ = metered.get();
  return metered;
}

void StreamRun::active() {
  if (idle_ > Duration::zero()) idle_timer_.arm(idle_);
}

void StreamRun::request_ended() {
  request_complete_ = true;
  request_timer_.reset();
  if (!stream_.info.request_complete) stream_.info.request_complete = elapsed();
  active();
}

void StreamRun::time_over(Errc cause) {
  CLEW_LOG(http, debug, "stream ended: {}", to_string(cause));
  if (HttpServerStats* stats = stream_.http_stats) {
    if (cause == Errc::stream_idle_timeout) stats->downstream_rq_idle_timeout.add();
    if (cause == Errc::request_timeout) stats->downstream_rq_timeout.add();
    if (cause == Errc::max_stream_duration) stats->downstream_rq_max_duration_reached.add();
  }
  stream_.cancel(cause);
  if (!writing_) return;
  if (response_body_) response_body_->cancel(cause);
  writer_.abort(cause);
}

Task<Result<void>> StreamRun::answer_expectation() {
  stream_.request.headers.remove(HeaderId::expect);
  ResponseHead head(stream_.arena);
  head.status = 100;
  head.end_stream = true;
  co_return co_await inform(head);
}

Task<Result<void>> StreamRun::inform(const ResponseHead& head) {
  writing_ = true;
  Task<Result<void>> informing = writer_.inform(head);
  const Result<void> informed = co_await std::move(informing);
  writing_ = false;
  co_return informed;
}

void StreamRun::route() {
  Stream& s = stream_;
  if (!s.route_table)
    s.route_table = s.hcm.inline_routes ? s.hcm.inline_routes : s.snapshot->routes.get(s.hcm.rds_name);
  if (!s.route_table) s.route_table = s.connection.last_routes;
  if (!s.route_table) return;
  const RouteMatch match = match_route(*s.route_table, s.request, s.worker.random());
  s.virtual_host = match.host;
  s.route = match.route;
  s.cluster = match.cluster;
  if (match.host) s.info.virtual_host_name = match.host->name;
  if (!match.route) return;
  s.info.route_name = match.route->name;
  const auto* forward = std::get_if<ForwardAction>(&match.route->action);
  if (!forward) return;
  if (forward->idle_timeout) {
    idle_ = *forward->idle_timeout;
    idle_timer_.cancel();
    active();
  }
  if (forward->max_stream_duration) {
    duration_timer_.reset();
    if (*forward->max_stream_duration > Duration::zero())
      duration_timer_ = limit(*forward->max_stream_duration - elapsed(), Errc::max_stream_duration);
  }
}

bool StreamRun::inbound() const {
  const Listener* listener = stream_.connection.listener.get();
  return listener && listener->direction == TrafficDirection::inbound;
}

void StreamRun::name_operation() {
  if (!stream_.hcm.tracing) return;
  HeaderMap& headers = stream_.request.headers;
  const std::string_view name = stream_.route ? std::string_view(stream_.route->decorator_operation) : "";
  if (inbound()) {
    if (!headers.has(HeaderId::x_envoy_decorator_operation)) operation_ = name;
    headers.remove(HeaderId::x_envoy_decorator_operation);
  } else if (!name.empty()) {
    headers.set(HeaderId::x_envoy_decorator_operation, name);
  }
}

void StreamRun::name_operation_in_response() {
  if (!stream_.hcm.tracing) return;
  HeaderMap& headers = stream_.response.headers;
  if (!inbound())
    headers.remove(HeaderId::x_envoy_decorator_operation);
  else if (!operation_.empty())
    headers.set(HeaderId::x_envoy_decorator_operation, operation_);
}

std::optional<LocalReply> StreamRun::refuse_upgrade() {
  const std::string_view upgrade = stream_.request.upgrade;
  if (upgrade.empty()) return std::nullopt;
  const auto* forward = stream_.route ? std::get_if<ForwardAction>(&stream_.route->action) : nullptr;
  const auto& allowed = forward && !forward->upgrades.empty() ? forward->upgrades : stream_.hcm.upgrades;
  if (std::find(allowed.begin(), allowed.end(), upgrade) != allowed.end()) {
    if (HttpServerStats* stats = stream_.http_stats) {
      stats->downstream_cx_upgrades_total.add();
      stats->downstream_cx_upgrades_active.add();
      upgrade_counted_ = true;
    }
    return std::nullopt;
  }
  if (stream_.http_stats) stream_.http_stats->downstream_rq_ws_on_non_ws_route.add();
  return local_reply(Errc::http_upgrade_refused);
}

Task<std::optional<LocalReply>> StreamRun::request_filters(BodyPtr& body) {
  filters_.reserve(stream_.hcm.filters.size());
  for (const auto& factory : stream_.hcm.filters) {
    std::unique_ptr<Filter> made = factory->make(stream_);
    if (!made) continue;
    Filter& filter = *filters_.emplace_back(std::move(made));
    Verdict verdict;
    if (factory->waits())
      verdict = co_await filter.on_request_wait(stream_, body);
    else
      verdict = filter.on_request(stream_);
    if (auto* reply = std::get_if<LocalReply>(&verdict)) co_return std::move(*reply);
    if (stream_.canceled != Errc::ok) break;
  }
  co_return std::nullopt;
}

std::optional<LocalReply> StreamRun::route_reply() {
  if (stream_.canceled != Errc::ok) return std::nullopt;
  const auto count = [this](Counter HttpServerStats::* counter) {
    if (stream_.http_stats) (stream_.http_stats->*counter).add();
  };
  count(&HttpServerStats::rq_total);
  if (stream_.virtual_host) {
    if (auto secure = require_tls(*stream_.virtual_host, stream_.request, stream_.internal)) {
      count(&HttpServerStats::rq_direct_response);
      return secure;
    }
  }
  if (!stream_.route) {
    count(&HttpServerStats::no_route);
    return local_reply(Errc::route_not_found);
  }
  const auto* redirect = std::get_if<RedirectAction>(&stream_.route->action);
  const auto* direct = std::get_if<DirectResponse>(&stream_.route->action);
  direct_ = redirect || direct;
  if (direct_) count(&HttpServerStats::rq_direct_response);
  if (redirect) return redirect_reply(*redirect, stream_.route->path, stream_.request);
  if (direct) return direct_reply(*direct);
  return std::nullopt;
}

std::optional<LocalReply> StreamRun::interruption() const {
  if (stream_.canceled != Errc::ok) return local_reply(stream_.canceled, request_complete_);
  if (request_error_ == Errc::ok || request_error_ == Errc::canceled) return std::nullopt;
  return local_reply(request_error_, request_complete_);
}

void StreamRun::response_filters(BodyPtr& body) {
  if (direct_) forwarder_.finalize_direct_response(stream_);
  for (auto filter = filters_.rbegin(); filter != filters_.rend(); ++filter) {
    Verdict verdict = (*filter)->on_response(stream_);
    if (const auto* reply = std::get_if<LocalReply>(&verdict)) {
      if (body) body->cancel(Errc::canceled);
      body = apply_local_reply(stream_, *reply);
    }
  }
}

Task<Result<void>> StreamRun::respond(BodyPtr& body) {
  writing_ = true;
  stream_.response.end_stream = body == nullptr;
  stream_.info.response_code = stream_.response.status;
  stream_.info.response_first_byte_sent = elapsed();
  active();
  if (body) body = meter_response(std::move(body));
  return writer_.respond(stream_.response, body.get());
}

void StreamRun::finish(const Result<void>& answered) {
  StreamInfo& info = stream_.info;
  idle_timer_.cancel();
  request_timer_.reset();
  duration_timer_.reset();
  info.complete = elapsed();
  if (!answered && (response_error_ == Errc::ok || stream_.canceled != Errc::ok)) {
    // The upstream's failures are on record already; what is left is the client's, or a time of ours, or a length that
    // lied.
    const Errc error = stream_.canceled != Errc::ok ? stream_.canceled : answered.error().code;
    const LocalReply why = local_reply(
        error == Errc::upstream_protocol_error || stream_.canceled != Errc::ok ? error : Errc::downstream_closed);
    if (why.flag) info.flags.set(*why.flag);
    info.response_code_details = why.details;
  }
  count_answer();
  for (const auto& filter : filters_) filter->on_done(stream_);
}

void StreamRun::count_answer() {
  HttpServerStats* stats = stream_.http_stats;
  if (!stats) return;
  stats->downstream_rq_active.sub();
  if (upgrade_counted_) stats->downstream_cx_upgrades_active.sub();
  const std::uint32_t code = stream_.info.response_code;
  if (code == 0) return;
  stats->downstream_rq_completed.add();
  Counter* const classes[] = {&stats->downstream_rq_1xx, &stats->downstream_rq_2xx, &stats->downstream_rq_3xx,
                              &stats->downstream_rq_4xx, &stats->downstream_rq_5xx};
  if (code >= 100 && code < 600) classes[code / 100 - 1]->add();
  if (code == 431) stats->downstream_rq_too_large.add();
  if (!request_complete_) stats->downstream_rq_response_before_rq_complete.add();
  stats->downstream_rq_time.record(std::chrono::duration<double, std::milli>(*stream_.info.complete).count());
}

}  // namespace clew
