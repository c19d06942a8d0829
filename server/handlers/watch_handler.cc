// Watch: what happens to a model, as it happens.

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/handlers/page_token.h"
#include "server/handlers/stream_io.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

// Milliseconds that the clock can add to now.
constexpr uint64_t kLongestSleepMs = uint64_t{1} << 40;

std::string PositionText(const ModelPosition& position) {
  return absl::StrCat(position.version, "/", position.move);
}

absl::StatusOr<ModelPosition> PositionOf(absl::string_view text) {
  ModelPosition position;
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, '/');
  if (absl::SimpleAtoi(parts.first, &position.version) &&
      absl::SimpleAtoi(parts.second, &position.move) && PositionText(position) == text) {
    return position;
  }
  return MalformedError("watch: position is \"", Printable(text), "\", want two numbers");
}

// One call of Watch.
class WatchCall {
 public:
  WatchCall(const Services& services, Call* call, FrameStream* stream, v1::WatchRequest request)
      : services_(services),
        call_(call),
        stream_(stream),
        request_(std::move(request)),
        subject_(request_.alias().empty() ? request_.model()
                                          : absl::StrCat(request_.model(), "@", request_.alias())),
        sleeper_(services.watches) {
    call_->end->Listen([this] { sleeper_.Wake(); });
  }
  ~WatchCall() { call_->end->Listen(nullptr); }

  absl::Status Serve() {
    // Before the first look, so that no change falls between.
    ASSIGN_OR_RETURN(const std::unique_ptr<RecordWatch> hints,
                     services_.catalog->WatchModel(request_.model(), [this] { sleeper_.Wake(); }));
    RETURN_IF_ERROR(Begin());
    while (true) {
      RETURN_IF_ERROR(TellNews());
      if (!sleeper_.Sleep(Poll())) RETURN_IF_ERROR(TellPosition());
      RETURN_IF_ERROR(services_.watches->Check());
      if (call_->end->happened()) return absl::CancelledError("watch: the client is gone");
    }
  }

 private:
  Listing listing() const { return {"watch", subject_}; }
  std::chrono::milliseconds Poll() const {
    return std::chrono::milliseconds(std::min(services_.limits.watch_poll_ms, kLongestSleepMs));
  }

  absl::Status Begin() {
    if (request_.resume_token().empty()) {
      ASSIGN_OR_RETURN(position_, services_.catalog->GetPosition(request_.model()));
      return TellPosition();
    }
    ASSIGN_OR_RETURN(const std::string text, ReadPageToken(listing(), request_.resume_token()));
    ASSIGN_OR_RETURN(position_, PositionOf(text));
    // Says whether there is such a position at all.
    RETURN_IF_ERROR(
        services_.catalog->EventsAfter(request_.model(), request_.alias(), position_).status());
    return TellPosition();
  }

  absl::Status TellNews() {
    for (bool more = true; more;) {
      ASSIGN_OR_RETURN(const ModelEvents news, services_.catalog->EventsAfter(
                                                   request_.model(), request_.alias(), position_));
      for (const ModelEvent& event : news.events) RETURN_IF_ERROR(Tell(event));
      position_ = news.position;
      more = news.more;
    }
    return absl::OkStatus();
  }

  absl::Status Tell(const ModelEvent& event) {
    v1::WatchResponse response;
    if (event.published.has_value()) {
      VersionToProto(*event.published, response.mutable_published());
    } else {
      AliasMoveToProto(*event.moved, response.mutable_moved());
    }
    return Send(event.position, &response);
  }

  absl::Status TellPosition() {
    v1::WatchResponse response;
    response.mutable_position();
    return Send(position_, &response);
  }

  absl::Status Send(const ModelPosition& behind, v1::WatchResponse* response) {
    response->set_resume_token(MakePageToken(listing(), PositionText(behind)));
    return stream_->Write(EncodeMessage(*response));
  }

  const Services& services_;
  Call* const call_;           // Must outlive this.
  FrameStream* const stream_;  // Must outlive this.
  const v1::WatchRequest request_;
  const std::string subject_;
  Watches::Sleeper sleeper_;
  ModelPosition position_;
};

absl::Status ServeWatch(const Services& services, Call* call, FrameStream* stream) {
  ASSIGN_OR_RETURN(v1::WatchRequest request, ReadMessage<v1::WatchRequest>(stream));
  call->subject = request.model().substr(0, 255);
  RETURN_IF_ERROR(CheckModelName(request.model()), "watch");
  if (!request.alias().empty()) RETURN_IF_ERROR(CheckAliasName(request.alias()), "watch");
  RETURN_IF_ERROR(services.authorizer->Authorize(call->principal, Action::kRead, request.model()));
  return WatchCall(services, call, stream, std::move(request)).Serve();
}

}  // namespace

void AddWatchMethods(const Services& services, MethodTable* table) {
  (*table)["Watch"] = {
      [&services](Call* call, FrameStream* stream) { return ServeWatch(services, call, stream); },
      /*moves_data=*/false, /*sleeps=*/true};
}

}  // namespace ballast
