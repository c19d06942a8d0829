#include "tests/support/in_process_transport.h"

#include <utility>

#include "storage/base/status.h"

namespace ballast {
namespace {

class InProcessTransport : public Transport {
 public:
  InProcessTransport(const MethodTable* methods, CutHook cut)
      : methods_(methods), cut_(std::move(cut)) {}

  absl::Status Unary(absl::string_view method, const google::protobuf::MessageLite& request,
                     google::protobuf::MessageLite* response, absl::Time deadline,
                     const CancelToken&) override {
    const std::unique_ptr<ClientFrameStream> call = Open(method, deadline);
    call->Write(EncodeMessage(request)).IgnoreError();
    call->WritesDone().IgnoreError();
    const absl::StatusOr<std::optional<Frame>> frame = call->Read();
    RETURN_IF_ERROR(call->Finish());
    RETURN_IF_ERROR(frame.status());
    if (!frame->has_value()) return absl::InternalError("no answer");
    return DecodeMessage(**frame, response);
  }

  std::unique_ptr<ClientFrameStream> Open(absl::string_view method, absl::Time) override {
    return StartInProcessCall(methods_, std::string(method), "tester", cut_);
  }

  std::string peer() const override { return "in-process"; }

 private:
  const MethodTable* methods_;  // Must outlive this.
  const CutHook cut_;
};

}  // namespace

std::unique_ptr<Transport> MakeInProcessTransport(const MethodTable* methods, CutHook cut) {
  return std::make_unique<InProcessTransport>(methods, std::move(cut));
}

}  // namespace ballast
