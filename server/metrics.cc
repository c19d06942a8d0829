#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "server/sampled_metrics.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// From a lookup in memory to a pull of hundreds of gigabytes.
const prometheus::Histogram::BucketBoundaries kSeconds = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800};
// Method names that are none are the callers' own: they share one label.
constexpr char kNoMethod[] = "unknown";
constexpr char kControl[] = "control";

std::string CodeName(absl::StatusCode code) { return absl::StatusCodeToString(code); }

// Whether a push that ended so was turned away, rather than cut short or failed by us.
bool IsRefusal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      return false;
    default:
      return true;
  }
}

std::string RefusalReason(const absl::Status& status) {
  const Reason reason = GetReason(status);
  return reason == Reason::kNone ? CodeName(status.code()) : std::string(ReasonName(reason));
}

class MetricsImpl : public Metrics {
 public:
  explicit MetricsImpl(const Sources& sources);

  void Begun(const Call& call) override { ClassOf(call).open->Increment(); }
  void Moved(const Call& call, uint64_t bytes_in, uint64_t bytes_out) override {
    const OfClass& of_class = ClassOf(call);
    if (bytes_in > 0) of_class.received->Increment(static_cast<double>(bytes_in));
    if (bytes_out > 0) of_class.sent->Increment(static_cast<double>(bytes_out));
  }
  void Ended(const Call& call, const absl::Status& status, std::chrono::nanoseconds took) override;
  std::string Text() const override;

 private:
  struct OfClass {
    prometheus::Gauge* open;
    prometheus::Histogram* duration;
    prometheus::Counter* received;
    prometheus::Counter* sent;
  };
  struct OfMethod {
    const OfClass* of_class;
    prometheus::Counter* ok;  // the code that nearly all calls end with
  };

  prometheus::Family<prometheus::Counter>& CounterFamily(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry_);
  }
  const OfClass* AddClass(const std::string& name);
  void AddMethod(const std::string& name, const std::string& class_name);
  const OfMethod& MethodOf(const Call& call) const {
    const auto it = methods_.find(call.method);
    return it == methods_.end() ? methods_.at(kNoMethod) : it->second;
  }
  const OfClass& ClassOf(const Call& call) const { return *MethodOf(call).of_class; }

  const SampledMetrics sampled_;
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& calls_;
  prometheus::Family<prometheus::Histogram>& durations_;
  prometheus::Family<prometheus::Gauge>& open_;
  prometheus::Family<prometheus::Counter>& received_;
  prometheus::Family<prometheus::Counter>& sent_;
  prometheus::Family<prometheus::Counter>& refused_;
  prometheus::Counter* blocks_stored_;
  prometheus::Counter* blocks_known_;
  // Not changed any more once this is built.
  std::map<std::string, OfClass> classes_;
  absl::flat_hash_map<std::string, OfMethod> methods_;
};

MetricsImpl::MetricsImpl(const Sources& sources)
    : sampled_(sources),
      calls_(CounterFamily("ballast_calls_total", "Calls that ended, by method and code.")),
      durations_(prometheus::BuildHistogram()
                     .Name("ballast_call_duration_seconds")
                     .Help("From a call's arrival to its end.")
                     .Register(registry_)),
      open_(prometheus::BuildGauge()
                .Name("ballast_open_calls")
                .Help("Calls that are running or waiting for a thread.")
                .Register(registry_)),
      received_(CounterFamily("ballast_received_bytes_total",
                              "Bytes of messages that came, without HTTP/2 and TLS.")),
      sent_(CounterFamily("ballast_sent_bytes_total",
                          "Bytes of messages that were sent, without HTTP/2 and TLS.")),
      refused_(CounterFamily("ballast_pushes_refused_total",
                             "Pushes that were turned away, by reason (or by code without one).")) {
  auto& blocks =
      CounterFamily("ballast_push_blocks_total",
                    "Blocks of pushes that became versions: stored anew, or known already.");
  blocks_stored_ = &blocks.Add({{"result", "stored"}});
  blocks_known_ = &blocks.Add({{"result", "known"}});
  for (const auto& [name, method] : *sources.methods) {
    AddMethod(name, method.moves_data || method.sleeps ? absl::AsciiStrToLower(name) : kControl);
  }
  AddMethod(kNoMethod, kControl);
}

const MetricsImpl::OfClass* MetricsImpl::AddClass(const std::string& name) {
  const auto known = classes_.find(name);
  if (known != classes_.end()) return &known->second;
  const prometheus::Labels labels = {{"class", name}};
  const OfClass made = {&open_.Add(labels), &durations_.Add(labels, kSeconds),
                        &received_.Add(labels), &sent_.Add(labels)};
  return &classes_.emplace(name, made).first->second;
}

void MetricsImpl::AddMethod(const std::string& name, const std::string& class_name) {
  prometheus::Counter* ok =
      name == kNoMethod
          ? nullptr
          : &calls_.Add({{"method", name}, {"code", CodeName(absl::StatusCode::kOk)}});
  methods_[name] = {AddClass(class_name), ok};
}

void MetricsImpl::Ended(const Call& call, const absl::Status& status,
                        std::chrono::nanoseconds took) {
  const OfMethod& method = MethodOf(call);
  method.of_class->open->Decrement();
  method.of_class->duration->Observe(std::chrono::duration<double>(took).count());
  if (status.ok() && method.ok != nullptr) {
    method.ok->Increment();
  } else {
    const std::string name = method.ok == nullptr ? kNoMethod : call.method;
    calls_.Add({{"method", name}, {"code", CodeName(status.code())}}).Increment();
  }
  blocks_stored_->Increment(static_cast<double>(call.blocks_stored));
  blocks_known_->Increment(static_cast<double>(call.blocks_known));
  if (call.method == "Push" && IsRefusal(status)) {
    refused_.Add({{"reason", RefusalReason(status)}}).Increment();
  }
}

std::string MetricsImpl::Text() const {
  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  for (prometheus::MetricFamily& family : sampled_.Collect()) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace

std::unique_ptr<Metrics> Metrics::Create(const Sources& sources) {
  return std::make_unique<MetricsImpl>(sources);
}

}  // namespace ballast
