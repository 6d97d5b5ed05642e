#include "filters/http/fault.h"

#include "filters/http/percent.h"
#include "proxy/net/event.h"

#include <utility>

namespace clew {
namespace {

class Fault final : public Filter {
 public:
  explicit Fault(const FaultPolicy& policy) : policy_(policy) {}

  Task<Verdict> on_request_wait(Stream& stream, BodyPtr&) override {
    if (policy_.delay && draw_percent(stream.worker, policy_.delay->percent)) {
      stream.info.flags.set(ResponseFlag::delay_injected);
      co_await wait(stream, policy_.delay->fixed);
      if (stream.canceled != Errc::ok) co_return Continue{};  // nobody waits for an answer any more
    }
    if (!policy_.abort || !draw_percent(stream.worker, policy_.abort->percent)) co_return Continue{};
    LocalReply reply;
    reply.status = policy_.abort->http_status;
    reply.grpc_status = policy_.abort->grpc_status;
    reply.body = "fault filter abort";
    reply.details = "fault_filter_abort";
    reply.flag = ResponseFlag::fault_injected;
    co_return reply;
  }

 private:
  /// Until the delay is over or the client has gone.
  static Task<void> wait(Stream& stream, Duration delay) {
    Event over;
    Timer timer(stream.worker.timers(), [&over] { over.notify(); });
    timer.arm(delay);
    stream.abandon = [&over](Errc) { over.notify(); };
    co_await over.wait();
    stream.abandon = nullptr;
  }

  const FaultPolicy& policy_;
};

class Factory final : public FilterFactory {
 public:
  Factory(std::string_view name, FaultPolicy everywhere) : name_(name), everywhere_(std::move(everywhere)) {}
  std::unique_ptr<Filter> make(const Stream& stream) const override {
    const auto* policy = dynamic_cast<const FaultPolicy*>(route_config(stream, name_));
    if (!policy) policy = &everywhere_;
    if (policy->empty()) return nullptr;
    return std::make_unique<Fault>(*policy);
  }
  bool waits() const override { return true; }
  std::string_view name() const override { return name_; }

 private:
  const std::string name_;
  const FaultPolicy everywhere_;
};

}  // namespace

std::shared_ptr<const FilterFactory> make_fault(std::string_view name, FaultPolicy everywhere) {
  return std::make_shared<Factory>(name, std::move(everywhere));
}

}  // namespace clew
