// The server's methods over an engine, in the process, and calls as a client makes
// them: message by message, so that a test can send what no client of ours would.
#ifndef BALLAST_TESTS_SERVER_SERVER_TESTING_H_
#define BALLAST_TESTS_SERVER_SERVER_TESTING_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ballast/v1/registry.pb.h"
#include "proto/frame_stream.h"
#include "server/authorizer.h"
#include "server/handlers/handlers.h"
#include "server/services.h"
#include "storage/base/status.h"
#include "storage/model/manifest.h"
#include "storage/schema/validate.h"
#include "tests/formats/formats_testing.h"
#include "tests/store/store_fixture.h"
#include "tests/support/fake_monitor.h"
#include "tests/support/in_process_call.h"
#include "tests/support/memory_engine.h"

namespace ballast {

MATCHER_P3(Fails, code, reason, message_part, "") {
  const absl::Status status = GetStatus(arg);
  *result_listener << status.ToString() << " [" << std::string(ReasonName(GetReason(status)))
                   << "]";
  return status.code() == code && GetReason(status) == reason &&
         status.message().find(message_part) != absl::string_view::npos &&
         status.message().find('\n') == absl::string_view::npos;
}
// The codes that the tables name most.
inline constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
inline constexpr absl::StatusCode kPrecondition = absl::StatusCode::kFailedPrecondition;
inline constexpr absl::StatusCode kNoSuch = absl::StatusCode::kNotFound;

// A server without gRPC over an engine of OpenStores.
class TestServer {
 public:
  explicit TestServer(const std::string& engine = "memory", const Limits& limits = Limits());

  void SetAuthorizer(Authorizer* authorizer) { services_.authorizer = authorizer; }
  const MethodTable& methods() const { return methods_; }
  Catalog* catalog() { return catalog_.get(); }
  FakeMonitor* monitor() { return &monitor_; }
  Watches* watches() { return &watches_; }
  BlobStore* blobs() { return stores_->blobs(); }
  RecordStore* records() { return stores_->records(); }
  // Only over "memory".
  MemoryBlobs* memory_blobs() { return dynamic_cast<MemoryBlobs*>(stores_->blobs()); }

  std::unique_ptr<ClientFrameStream> Start(const std::string& method,
                                           const std::string& principal = "tester") const {
    return StartInProcessCall(&methods_, method, principal);
  }

 private:
  const std::unique_ptr<TestStores> stores_;
  const TempDir spool_;
  std::unique_ptr<Catalog> catalog_;
  Collector collector_;
  AllowAll allow_all_;
  MemoryBudget manifest_memory_;
  FakeMonitor monitor_;
  Statistics statistics_;
  Watches watches_;
  Verifier verifier_;
  Services services_;
  MethodTable methods_;
};

// What came back of a call, and how it ended.
struct Answers {
  absl::Status status;
  std::vector<Frame> frames;
};
// Sends all requests and the half-close while reading, then waits for the end.
Answers Exchange(const TestServer& server, const std::string& method, std::vector<Frame> requests,
                 const std::string& principal = "tester");

template <typename Message>
std::vector<Frame> Frames(const std::vector<Message>& messages) {
  std::vector<Frame> frames;
  for (const Message& message : messages) frames.push_back(EncodeMessage(message));
  return frames;
}

// A call with one request and one answer.
template <typename Response, typename Request>
absl::StatusOr<Response> Unary(const TestServer& server, const std::string& method,
                               const Request& request) {
  const Answers answers = Exchange(server, method, {EncodeMessage(request)});
  if (!answers.status.ok()) return answers.status;
  Response response;
  if (answers.frames.size() != 1) return absl::InternalError("want one answer");
  if (absl::Status parsed = DecodeMessage(answers.frames[0], &response); !parsed.ok()) {
    return parsed;
  }
  return response;
}

// --- state dicts ------------------------------------------------------------------
// A few tensors of some bytes each, one of them empty and one 0-dim.
std::vector<Tensor> SmallModel(uint8_t seed = 1);
// Tensors of several blocks: 2.5 MiB, exactly 1 MiB, and small ones.
std::vector<Tensor> BigModel(uint64_t seed = 1);
// Its blocks go to `blocks` unless null.
Manifest ManifestOf(const std::vector<Tensor>& tensors,
                    std::map<Digest, std::string>* blocks = nullptr);
std::string SchemaJsonOf(const std::vector<Tensor>& tensors);
std::string FileOf(Format format, const std::vector<Tensor>& tensors);
// By key.
std::map<std::string, std::string> BytesByKey(const std::vector<Tensor>& tensors);

// Another one every time.
std::string NextRequestId();

// --- push ---------------------------------------------------------------------------
// With a request id of its own.
v1::PushHeader HeaderOf(const std::string& model);

struct PushAnswer {
  absl::Status status;
  bool asked = false;            // `need` came
  std::vector<uint64_t> needed;  // block numbers
  bool refused = false;          // a report came
  Report report;
  std::optional<v1::PushCommitted> committed;
};

// A push by manifest; what a test changes, it changes before Run.
struct ManifestPush {
  ManifestPush(const std::string& model, const std::vector<Tensor>& tensors);

  v1::PushHeader header;
  std::string schema_json;
  std::map<Digest, std::string> blocks;
  Manifest manifest;
  // May change the messages that answer `need`: one for each block, and `end`.
  std::function<void(std::vector<v1::PushRequest>*)> edit;
  bool cut = false;  // behind them the client is gone
  // Blocks that are not hashed.
  std::function<bool(const BlockRef& block)> unhashed;

  PushAnswer Run(const TestServer& server) const;
};

// Pushes the tensors by manifest; the test fails if that does.
v1::Version MustPush(const TestServer& server, const std::string& model,
                     const std::vector<Tensor>& tensors, const std::string& alias = "");

// The messages of a push of file bytes, in pieces.
std::vector<v1::PushRequest> FileMessages(const v1::PushHeader& header, const std::string& file,
                                          size_t piece_bytes = 65536,
                                          const std::string& schema_json = "");
PushAnswer PushMessages(const TestServer& server, const std::vector<v1::PushRequest>& messages);
PushAnswer PushFile(const TestServer& server, const std::string& model, const std::string& file,
                    size_t piece_bytes = 65536);

// True if no model is visible, and `model` is none.
::testing::AssertionResult NothingVisible(const TestServer& server, const std::string& model);

absl::StatusOr<v1::BindSchemaResponse> BindSchema(const TestServer& server,
                                                  const std::string& model,
                                                  const std::string& json);

// --- pull ---------------------------------------------------------------------------
struct PullAnswer {
  absl::Status status;
  v1::PullHeader header;
  std::optional<Manifest> manifest;
  std::string bytes;
  std::vector<DataFrame> data;
  uint64_t frame_bytes_max = 0;
  uint64_t crcs_wrong = 0;  // data messages whose CRC is not that of their payload
};
v1::PullRequest RequestOf(const std::string& reference, const std::string& format = "");
// Also checks that positions follow each other from the request's offset.
PullAnswer PullVersion(const TestServer& server, const v1::PullRequest& request);

}  // namespace ballast

#endif  // BALLAST_TESTS_SERVER_SERVER_TESTING_H_
