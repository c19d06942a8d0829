#include "storage/store/catalog.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "storage/base/status.h"
#include "storage/store/catalog_impl.h"
#include "storage/store/epoch.h"
#include "storage/store/limit_time.h"

namespace ballast {

namespace {

// Beside notifications, which may be lost: several times within the lease.
absl::Duration RenewalPeriod(const Limits& limits) {
  return std::clamp(LimitMilliseconds(limits.push_lease_ms) / 4, absl::Milliseconds(10),
                    absl::Seconds(15));
}

}  // namespace

CatalogImpl::CatalogImpl(BlobStore* blobs, RecordStore* records, const Limits& limits,
                         std::function<absl::Time()> clock, EngineUse use)
    : blobs_(blobs),
      records_(records),
      limits_(limits),
      clock_(std::move(clock)),
      use_(use),
      server_(NewToken()),
      opened_(Now()),
      leases_(records, RenewalPeriod(limits)) {}

absl::StatusOr<std::unique_ptr<Catalog>> Catalog::Open(BlobStore* blobs, RecordStore* records,
                                                       const Limits& limits,
                                                       std::function<absl::Time()> clock,
                                                       EngineUse use) {
  if (clock == nullptr) clock = [] { return absl::Now(); };
  return std::make_unique<CatalogImpl>(blobs, records, limits, std::move(clock), use);
}

absl::Time CatalogImpl::Now() const { return absl::FromUnixMicros(absl::ToUnixMicros(clock_())); }

absl::StatusOr<std::optional<std::string>> CatalogImpl::ReadOne(absl::string_view record,
                                                                const std::string& key) {
  ASSIGN_OR_RETURN(auto values, records_->Read(record, {key}));
  return std::move(values[0]);
}

absl::Status CatalogImpl::EnsureIndexed(const std::string& model) {
  const std::string index = IndexRecord(ModelShard(model));
  const std::string key = ModelRecord(model);
  for (int attempt = 0; attempt < kCommitAttemptsMax; ++attempt) {
    PauseBeforeAttempt(attempt);
    ASSIGN_OR_RETURN(const auto known, ReadOne(index, key));
    if (known.has_value()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const CommitOutcome outcome, records_->Commit(index, {}, {{key, "1"}}));
    if (outcome == CommitOutcome::kApplied) return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat(model, ": could not be put into the list of models"));
}

absl::StatusOr<CatalogImpl::Begun> CatalogImpl::BeginIntent(const std::string& model) {
  RETURN_IF_ERROR(EnsureIndexed(model));
  ASSIGN_OR_RETURN(const Epoch before, CurrentEpoch(records_));
  Begun begun;
  bool recorded = false;
  for (int attempt = 0; attempt < kCommitAttemptsMax && !recorded; ++attempt) {
    PauseBeforeAttempt(attempt);
    // Another id every time: an attempt that arrives late must not bring back an
    // intent that a collection has taken away.
    begun.id = NewToken();
    begun.start = Now();
    begun.intent = EncodeIntent({before, begun.start, server_, std::nullopt});
    ASSIGN_OR_RETURN(
        const CommitOutcome outcome,
        records_->Commit(ModelRecord(model), {}, {{IntentKey(begun.id), begun.intent}}));
    recorded = outcome == CommitOutcome::kApplied;
  }
  if (!recorded) return absl::UnavailableError(absl::StrCat(model, ": the push was not recorded"));
  // Read after the intent is there: a collection that does not see the intent has
  // raised the epoch before this.
  ASSIGN_OR_RETURN(begun.epoch, CurrentEpoch(records_));
  ASSIGN_OR_RETURN(begun.batch, blobs_->NewBatch(begun.epoch));
  return begun;
}

absl::StatusOr<bool> CatalogImpl::RaiseIntent(const std::string& model, Begun* begun) {
  const std::string key = IntentKey(begun->id);
  const std::string raised = EncodeIntent({begun->epoch, begun->start, server_, std::nullopt});
  for (int attempt = 0; attempt < kCommitAttemptsMax; ++attempt) {
    PauseBeforeAttempt(attempt);
    ASSIGN_OR_RETURN(const auto intent, ReadOne(ModelRecord(model), key));
    if (!intent.has_value()) return false;
    begun->intent = *intent;  // nobody else writes it
    if (*intent == raised) return true;
    RETURN_IF_ERROR(
        records_->Commit(ModelRecord(model), {{key, intent}}, {{key, raised}}).status());
  }
  return absl::UnavailableError(absl::StrCat(model, ": the push's intent could not be raised"));
}

absl::StatusOr<bool> CatalogImpl::LeaveIntent(const std::string& model,
                                              const std::string& request_id, const Begun& begun) {
  const std::string key = IntentKey(begun.id);
  const std::string left_key = LeftIntentKey(request_id.empty() ? begun.id : request_id);
  std::string left;
  for (int attempt = 0; attempt < kCommitAttemptsMax; ++attempt) {
    PauseBeforeAttempt(attempt);
    ASSIGN_OR_RETURN(const auto values, records_->Read(ModelRecord(model), {key, left_key}));
    // By an attempt whose outcome was unknown.
    if (!values[0].has_value()) return attempt > 0 && values[1] == left;
    left = EncodeIntent({EpochOfIntent(*values[0]), begun.start, server_, Now()});
    ASSIGN_OR_RETURN(const CommitOutcome outcome,
                     records_->Commit(ModelRecord(model), {{key, values[0]}},
                                      {{key, std::nullopt}, {left_key, left}}));
    if (outcome == CommitOutcome::kApplied) return true;
  }
  return absl::UnavailableError(absl::StrCat(model, ": the push could not be left"));
}

// A server that is alone knows that the others are no more, and since when at the latest.
std::optional<absl::Time> CatalogImpl::WhenLeft(absl::string_view key,
                                                absl::string_view intent) const {
  {
    std::lock_guard<std::mutex> lock(dropped_mutex_);
    if (dropped_.count(std::string(key)) > 0) return absl::InfinitePast();
  }
  const IntentValue value = DecodeIntent(intent);
  if (value.left.has_value()) return value.left;
  if (use_ == EngineUse::kSole && value.server != server_) return opened_;
  return std::nullopt;
}

void CatalogImpl::DropIntent(const std::string& model, const std::string& push_id) {
  const std::string key = IntentKey(push_id);
  const auto outcome = records_->Commit(ModelRecord(model), {}, {{key, std::nullopt}});
  if (outcome.ok() && *outcome == CommitOutcome::kApplied) return;
  std::lock_guard<std::mutex> lock(dropped_mutex_);
  dropped_.insert(key);
}

absl::StatusOr<std::optional<RequestAnswer>> CatalogImpl::FindRequest(absl::string_view model,
                                                                      absl::string_view request_id,
                                                                      Operation operation) {
  if (request_id.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(const auto value, ReadOne(ModelRecord(model), RequestKey(request_id)));
  if (!value.has_value()) return std::nullopt;
  ASSIGN_OR_RETURN(const RequestAnswer answer, DecodeRequest(*value), model);
  if (answer.operation != operation) {
    return absl::FailedPreconditionError(
        absl::StrCat(model, ": request id \"", Printable(request_id),
                     "\" was used for another operation, want a new one"));
  }
  return answer;
}

absl::StatusOr<uint64_t> CatalogImpl::Change(absl::string_view model, absl::string_view request_id,
                                             Operation operation, const Planner& planner) {
  const std::string record = ModelRecord(model);
  const std::string token = NewToken();
  bool maybe_applied = false;
  for (int attempt = 0; attempt < kCommitAttemptsMax; ++attempt) {
    PauseBeforeAttempt(attempt);
    ASSIGN_OR_RETURN(const auto answered, FindRequest(model, request_id, operation));
    if (answered.has_value()) return answered->answer;
    auto planned = planner(token, maybe_applied);
    if (!planned.ok()) {
      // What stands in the way may be this very request, applied a moment ago.
      ASSIGN_OR_RETURN(const auto meanwhile, FindRequest(model, request_id, operation));
      if (meanwhile.has_value()) return meanwhile->answer;
      return planned.status();
    }
    Plan plan = *std::move(planned);
    if (plan.done) return plan.answer;
    if (!request_id.empty()) {
      const std::string key = RequestKey(request_id);
      plan.conditions.push_back({key, std::nullopt});
      plan.edits.push_back({key, EncodeRequest({operation, plan.answer, token, Now()})});
    }
    ASSIGN_OR_RETURN(const CommitOutcome outcome,
                     records_->Commit(record, plan.conditions, plan.edits));
    if (outcome == CommitOutcome::kApplied) return plan.answer;
    maybe_applied = maybe_applied || outcome == CommitOutcome::kUnknown;
  }
  return absl::UnavailableError(absl::StrCat(model, ": the record could not be changed in ",
                                             kCommitAttemptsMax, " attempts; try again"));
}

absl::Status CatalogImpl::ReserveNumbers(absl::string_view model, uint64_t numbers_used,
                                         const Requester& by) {
  RETURN_IF_ERROR(CheckModelName(model));
  RETURN_IF_ERROR(CheckRequestId(by.request_id));
  if (numbers_used > kVersionMax) {
    return MalformedError(model, ": ", numbers_used, " numbers used, want at most ", kVersionMax);
  }
  const std::string key(kHeadKey);
  return Change(model, by.request_id, Operation::kReserveNumbers,
                [&](const std::string&, bool) -> absl::StatusOr<Plan> {
                  ASSIGN_OR_RETURN(const auto now, ReadOne(ModelRecord(model), key));
                  ModelHead head;
                  if (now.has_value()) {
                    ASSIGN_OR_RETURN(head, DecodeHead(*now), model);
                  }
                  if (now.has_value() && head.newest >= numbers_used) return Plan{true, 0, {}, {}};
                  head.newest = numbers_used;
                  return Plan{false, 0, {{key, now}}, {{key, EncodeHead(head)}}};
                })
      .status();
}

absl::StatusOr<bool> RaiseAll(BlobStore* blobs, absl::Span<const Digest> digests, Epoch epoch) {
  constexpr size_t kSlice = 4096;
  for (size_t i = 0; i < digests.size(); i += kSlice) {
    ASSIGN_OR_RETURN(const auto infos, blobs->Touch(digests.subspan(i, kSlice), epoch));
    for (const auto& info : infos) {
      if (!info.has_value()) return false;
    }
  }
  return true;
}

}  // namespace ballast
