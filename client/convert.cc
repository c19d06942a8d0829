#include <ballast/client.h>

#include <thread>
#include <utility>

#include "client/client_impl.h"
#include "client/incoming_data.h"
#include "proto/wire.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// One Convert call: a thread writes what comes back while the file is being sent.
class ConvertExchange {
 public:
  ConvertExchange(ClientCall* call, Operation* operation, ByteSink* out)
      : call_(call), operation_(operation), out_(out) {}

  absl::StatusOr<ConvertResult> Run(ByteStream* in, const ConvertOptions& options);

 private:
  absl::Status Send(ByteStream* in, const ConvertOptions& options);
  absl::Status SendFile(ByteStream* in);
  void Receive();
  absl::Status Take(const Frame& frame);
  absl::Status TakeHeader(const v1::ConvertResponseHeader& header);
  absl::Status Stop(absl::Status why);

  ClientCall* const call_;
  Operation* const operation_;
  ByteSink* const out_;
  IncomingData incoming_;
  std::optional<ConvertResult> result_;
  absl::Status received_;  // why the receiving thread gave up
  absl::Status stopped_;   // why the sending one did
};

absl::StatusOr<ConvertResult> ConvertExchange::Run(ByteStream* in, const ConvertOptions& options) {
  call_->set_reads_wait_for_us(true);
  std::thread receiving([this] { Receive(); });
  const absl::Status seen = Send(in, options);
  receiving.join();
  RETURN_IF_ERROR(stopped_);
  RETURN_IF_ERROR(received_);
  RETURN_IF_ERROR(seen.ok() ? call_->Finish() : call_->Explain(seen));
  if (!result_) return BadAnswer(absl::InternalError("the conversion ended without a header"));
  RETURN_IF_ERROR(incoming_.CheckComplete());
  return *std::move(result_);
}

absl::Status ConvertExchange::Send(ByteStream* in, const ConvertOptions& options) {
  v1::ConvertRequest request;
  v1::ConvertHeader* header = request.mutable_header();
  if (options.from != Format::kUnknown) header->set_from(std::string(FormatName(options.from)));
  header->set_to(std::string(FormatName(options.to)));
  wire::RulesToProto(options.rules, header->mutable_rules());
  header->set_plain_dict(options.plain_dict);
  RETURN_IF_ERROR(call_->Send(request));
  RETURN_IF_ERROR(SendFile(in));
  call_->set_reads_wait_for_us(false);
  return call_->WritesDone();
}

absl::Status ConvertExchange::SendFile(ByteStream* in) {
  for (uint64_t position = 0;;) {
    std::string buffer(kDataMessageBytes, '\0');
    const absl::StatusOr<size_t> n = ReadFull(in, absl::MakeSpan(buffer.data(), buffer.size()));
    if (!n.ok()) return Stop(n.status());
    if (*n == 0) {
      v1::ConvertRequest end;
      end.mutable_end()->set_size_bytes(position);
      return call_->Send(end);
    }
    buffer.resize(*n);
    DataFrame data{v1::ConvertRequest::kFileFieldNumber, position, Crc32(buffer), {}};
    data.payload.push_back(Chunk::Own(std::move(buffer)));
    RETURN_IF_ERROR(call_->SendData(std::move(data)));
    position += *n;
    const absl::Status go_on = operation_->Report(Progress::Phase::kSend, position, 0);
    if (!go_on.ok()) return Stop(go_on);
  }
}

void ConvertExchange::Receive() {
  while (true) {
    const absl::StatusOr<std::optional<Frame>> frame = call_->Read();
    if (!frame.ok() || !frame->has_value()) return;  // the call is over
    received_ = Take(**frame);
    if (received_.ok()) continue;
    call_->Cancel();
    return;
  }
}

absl::Status ConvertExchange::Take(const Frame& frame) {
  const auto data = DecodeData(frame, {v1::ConvertResponse::kDataFieldNumber});
  if (!data.ok()) return BadAnswer(data.status());
  if (*data) {
    RETURN_IF_ERROR(incoming_.Check(**data));
    for (const Chunk& chunk : (*data)->payload) RETURN_IF_ERROR(out_->Write(chunk.bytes));
    return operation_->Report(Progress::Phase::kConvert, incoming_.position(),
                              incoming_.total_bytes());
  }
  v1::ConvertResponse response;
  if (absl::Status s = DecodeMessage(frame, &response); !s.ok()) return BadAnswer(s);
  return response.has_header() ? TakeHeader(response.header()) : absl::OkStatus();
}

absl::Status ConvertExchange::TakeHeader(const v1::ConvertResponseHeader& header) {
  const absl::StatusOr<Format> from = wire::FormatFromWire(header.from());
  if (!from.ok()) return BadAnswer(from.status());
  const absl::StatusOr<Format> to = wire::FormatFromWire(header.to());
  if (!to.ok()) return BadAnswer(to.status());
  incoming_.Expect(header.size_bytes());
  result_ = ConvertResult{*from,
                          *to,
                          header.entries(),
                          header.size_bytes(),
                          {header.warnings().begin(), header.warnings().end()}};
  return absl::OkStatus();
}

absl::Status ConvertExchange::Stop(absl::Status why) {
  stopped_ = why;
  call_->Cancel();
  return why;
}

}  // namespace

absl::StatusOr<ConvertResult> Client::ConvertStream(ByteStream* in, ByteSink* out,
                                                    const ConvertOptions& options) {
  RETURN_IF_ERROR(KeyRules::Compile(options.rules, impl_->connection.limits()).status());
  Operation operation = impl_->Begin(options.control);
  RETURN_IF_ERROR(impl_->connection.Reach());
  const std::unique_ptr<ClientCall> call =
      impl_->connection.Open("Convert", operation.cancel(), operation.deadline());
  return ConvertExchange(call.get(), &operation, out).Run(in, options);
}

}  // namespace ballast
