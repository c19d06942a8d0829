#include "tests/server/server_testing.h"

#include <atomic>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/wire.h"
#include "storage/base/crc32.h"
#include "storage/schema/schema.h"

namespace ballast {
namespace {

std::unique_ptr<Catalog> OpenCatalog(TestStores* stores, const Limits& limits) {
  auto catalog = Catalog::Open(stores->blobs(), stores->records(), limits);
  EXPECT_THAT(catalog, IsOk());
  return *std::move(catalog);
}

std::string Joined(const std::vector<Chunk>& chunks) {
  std::string out;
  for (const Chunk& chunk : chunks) out.append(chunk.bytes.data(), chunk.bytes.size());
  return out;
}

void TakePushResponse(const Frame& frame, PushAnswer* answer) {
  v1::PushResponse response;
  ASSERT_THAT(DecodeMessage(frame, &response), IsOk());
  if (response.has_need()) {
    answer->asked = true;
    const v1::NeedPiece& need = response.need();
    ASSERT_EQ(need.first_size(), need.count_size());
    for (int i = 0; i < need.first_size(); ++i) {
      for (uint64_t n = 0; n < need.count(i); ++n) answer->needed.push_back(need.first(i) + n);
    }
  } else if (response.has_refused()) {
    answer->refused = true;
    wire::AddReportPiece(response.refused(), &answer->report);
  } else if (response.has_committed()) {
    answer->committed = response.committed();
  }
}

bool IsLastNeed(const Frame& frame) {
  v1::PushResponse response;
  return DecodeMessage(frame, &response).ok() && response.need().last();
}

std::vector<v1::PushRequest> Opening(const v1::PushHeader& header, const std::string& schema) {
  std::vector<v1::PushRequest> messages(1);
  *messages[0].mutable_header() = header;
  if (!schema.empty()) messages.emplace_back().set_schema(schema);
  return messages;
}

// Distinct digests in the order of their first appearance: block numbers.
// The bytes' digests in the order of the blocks' numbers.
std::vector<Digest> NumberedBlocks(const Manifest& manifest, const Manifest& sent) {
  const std::vector<uint32_t> twins = TieRepresentatives(sent.entries.size(), sent.ties);
  std::vector<Digest> numbered;
  std::set<Digest> seen;
  for (size_t e = 0; e < sent.entries.size(); ++e) {
    for (size_t b = 0; b < sent.entries[e].blocks.size(); ++b) {
      const Digest& digest = sent.entries[e].blocks[b].digest;
      const bool counts = digest == Digest() ? twins[e] == e : seen.insert(digest).second;
      if (counts) numbered.push_back(manifest.entries[e].blocks[b].digest);
    }
  }
  return numbered;
}

void WriteAllOf(const std::vector<v1::PushRequest>& messages, ClientFrameStream* call) {
  for (const v1::PushRequest& message : messages) {
    if (!call->Write(EncodeMessage(message)).ok()) return;  // the call's status says why
  }
}

}  // namespace

TestServer::TestServer(const std::string& engine, const Limits& limits)
    : stores_(OpenStores(engine)),
      catalog_(OpenCatalog(stores_.get(), limits)),
      collector_(catalog_.get(), stores_->blobs(), stores_->records(), limits),
      manifest_memory_(limits.manifest_memory_bytes,
                       std::chrono::milliseconds(limits.manifest_wait_ms), "manifest_memory_bytes"),
      statistics_({catalog_.get(), &monitor_, limits}),
      verifier_(stores_->blobs(), stores_->records(), &monitor_, limits),
      services_{catalog_.get(),    stores_->blobs(), &allow_all_,  limits,    spool_.path(),
                &manifest_memory_, &collector_,      &statistics_, &watches_, &verifier_},
      methods_(MakeMethodTable(services_)) {}

Answers Exchange(const TestServer& server, const std::string& method, std::vector<Frame> requests,
                 const std::string& principal) {
  const std::unique_ptr<ClientFrameStream> call = server.Start(method, principal);
  std::thread writer([&] {
    for (Frame& frame : requests) {
      if (!call->Write(std::move(frame)).ok()) break;
    }
    call->WritesDone().IgnoreError();
  });
  Answers answers;
  while (true) {
    absl::StatusOr<std::optional<Frame>> frame = call->Read();
    if (!frame.ok() || !frame->has_value()) break;
    answers.frames.push_back(**std::move(frame));
  }
  writer.join();
  answers.status = call->Finish();
  return answers;
}

std::vector<Tensor> SmallModel(uint8_t seed) {
  return {MakeTensor("fc.weight", DType::kFloat32, {4, 3}, seed),
          MakeTensor("fc.bias", DType::kFloat32, {4}, seed + 1),
          MakeTensor("steps", DType::kInt64, {}, seed + 2),
          MakeTensor("none", DType::kFloat32, {0, 2}), MakeTensor("mask", DType::kBool, {5}, seed)};
}

std::vector<Tensor> BigModel(uint64_t seed) {
  std::vector<Tensor> tensors;
  const auto add = [&](const std::string& key, uint64_t size) {
    Tensor& tensor = tensors.emplace_back();
    tensor.spec.key = key;
    tensor.spec.dtype = DType::kUint8;
    tensor.spec.shape = {size};
    tensor.bytes = MakeBlock(seed * 16 + tensors.size(), size).bytes;
  };
  add("first", 100);
  add("big", 5 * kBlockBytes / 2);
  add("block", kBlockBytes);
  add("last", 999);
  return tensors;
}

Manifest ManifestOf(const std::vector<Tensor>& tensors, std::map<Digest, std::string>* blocks) {
  Manifest manifest;
  manifest.format = Format::kTensors;
  for (const Tensor& tensor : tensors) {
    ManifestEntry& entry = manifest.entries.emplace_back();
    entry.spec = tensor.spec;
    for (size_t offset = 0; offset < tensor.bytes.size(); offset += kBlockBytes) {
      const std::string block = tensor.bytes.substr(offset, kBlockBytes);
      entry.blocks.push_back({Sha256Of(block), Crc32(block)});
      if (blocks != nullptr) (*blocks)[entry.blocks.back().digest] = block;
    }
  }
  return manifest;
}

std::string SchemaJsonOf(const std::vector<Tensor>& tensors) {
  std::vector<TensorSpec> specs;
  for (const Tensor& tensor : tensors) specs.push_back(tensor.spec);
  return SchemaToJson(SchemaOf(specs));
}

std::string FileOf(Format format, const std::vector<Tensor>& tensors) {
  absl::StatusOr<std::string> file = WriteAll(format, tensors);
  EXPECT_THAT(file, IsOk());
  return file.value_or("");
}

std::map<std::string, std::string> BytesByKey(const std::vector<Tensor>& tensors) {
  std::map<std::string, std::string> out;
  for (const Tensor& tensor : tensors) out[tensor.spec.key] = tensor.bytes;
  return out;
}

std::string NextRequestId() {
  static std::atomic<uint64_t> next{1};
  return absl::StrCat("request-", next++);
}

v1::PushHeader HeaderOf(const std::string& model) {
  v1::PushHeader header;
  header.set_model(model);
  header.set_request_id(NextRequestId());
  return header;
}

ManifestPush::ManifestPush(const std::string& model, const std::vector<Tensor>& tensors)
    : header(HeaderOf(model)), manifest(ManifestOf(tensors, &blocks)) {}

PushAnswer ManifestPush::Run(const TestServer& server) const {
  PushAnswer answer;
  Manifest offered = manifest;
  for (ManifestEntry& entry : offered.entries) {
    for (BlockRef& block : entry.blocks) {
      if (unhashed && unhashed(block)) block.digest = Digest();
    }
  }
  const std::unique_ptr<ClientFrameStream> call = server.Start("Push");
  WriteAllOf(Opening(header, schema_json), call.get());
  EXPECT_THAT(wire::ForEachManifestPiece(offered, true,
                                         [&](const v1::ManifestPiece& piece) {
                                           v1::PushRequest request;
                                           *request.mutable_manifest() = piece;
                                           call->Write(EncodeMessage(request)).IgnoreError();
                                           return absl::OkStatus();
                                         }),
              IsOk());
  bool sent = false;
  while (true) {
    const absl::StatusOr<std::optional<Frame>> frame = call->Read();
    if (!frame.ok() || !frame->has_value()) break;
    TakePushResponse(**frame, &answer);
    if (sent || !IsLastNeed(**frame)) continue;
    sent = true;
    std::vector<v1::PushRequest> messages;
    const std::vector<Digest> numbered = NumberedBlocks(manifest, offered);
    uint64_t size = 0;
    for (size_t i = 0; i < answer.needed.size(); ++i) {
      v1::DataChunk* chunk = messages.emplace_back().mutable_block();
      chunk->set_position(i);
      chunk->set_payload(blocks.at(numbered.at(answer.needed[i])));
      size += chunk->payload().size();
    }
    messages.emplace_back().mutable_end()->set_size_bytes(size);
    if (edit) edit(&messages);
    WriteAllOf(messages, call.get());
    if (cut) {
      call->Cancel();
    } else {
      call->WritesDone().IgnoreError();
    }
  }
  answer.status = call->Finish();
  return answer;
}

v1::Version MustPush(const TestServer& server, const std::string& model,
                     const std::vector<Tensor>& tensors, const std::string& alias) {
  ManifestPush push(model, tensors);
  push.header.set_alias(alias);
  const PushAnswer answer = push.Run(server);
  EXPECT_THAT(answer.status, IsOk());
  return answer.committed.value_or(v1::PushCommitted()).version();
}

std::vector<v1::PushRequest> FileMessages(const v1::PushHeader& header, const std::string& file,
                                          size_t piece_bytes, const std::string& schema_json) {
  std::vector<v1::PushRequest> messages = Opening(header, schema_json);
  for (size_t offset = 0; offset < file.size(); offset += piece_bytes) {
    v1::DataChunk* chunk = messages.emplace_back().mutable_file();
    chunk->set_position(offset);
    chunk->set_payload(file.substr(offset, piece_bytes));
    chunk->set_crc32(Crc32(chunk->payload()));
  }
  messages.emplace_back().mutable_end()->set_size_bytes(file.size());
  return messages;
}

PushAnswer PushMessages(const TestServer& server, const std::vector<v1::PushRequest>& messages) {
  const Answers answers = Exchange(server, "Push", Frames(messages));
  PushAnswer answer;
  answer.status = answers.status;
  for (const Frame& frame : answers.frames) TakePushResponse(frame, &answer);
  return answer;
}

PushAnswer PushFile(const TestServer& server, const std::string& model, const std::string& file,
                    size_t piece_bytes) {
  return PushMessages(server, FileMessages(HeaderOf(model), file, piece_bytes));
}

::testing::AssertionResult NothingVisible(const TestServer& server, const std::string& model) {
  const auto models = Unary<v1::ListModelsResponse>(server, "ListModels", v1::ListModelsRequest());
  if (!models.ok()) return ::testing::AssertionFailure() << models.status();
  if (models->models_size() > 0) {
    return ::testing::AssertionFailure() << "there is a model " << models->models(0).model();
  }
  v1::GetModelRequest request;
  request.set_model(model);
  const auto got = Unary<v1::Model>(server, "GetModel", request);
  if (absl::IsNotFound(got.status())) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "GetModel of " << model << ": " << got.status();
}

absl::StatusOr<v1::BindSchemaResponse> BindSchema(const TestServer& server,
                                                  const std::string& model,
                                                  const std::string& json) {
  std::vector<v1::BindSchemaRequest> messages(3);
  messages[0].mutable_header()->set_model(model);
  messages[0].mutable_header()->set_request_id(NextRequestId());
  messages[1].set_schema(json);
  messages[2].mutable_end()->set_size_bytes(json.size());
  const Answers answers = Exchange(server, "BindSchema", Frames(messages));
  RETURN_IF_ERROR(answers.status);
  v1::BindSchemaResponse response;
  RETURN_IF_ERROR(DecodeMessage(answers.frames.at(0), &response));
  return response;
}

v1::PullRequest RequestOf(const std::string& reference, const std::string& format) {
  v1::PullRequest request;
  request.set_reference(reference);
  request.set_format(format);
  return request;
}

PullAnswer PullVersion(const TestServer& server, const v1::PullRequest& request) {
  const Answers answers = Exchange(server, "Pull", {EncodeMessage(request)});
  PullAnswer answer;
  answer.status = answers.status;
  wire::ManifestAssembler assembler{Limits()};
  for (const Frame& frame : answers.frames) {
    answer.frame_bytes_max = std::max(answer.frame_bytes_max, frame.size_bytes());
    const auto data = DecodeData(frame, {v1::PullResponse::kDataFieldNumber});
    EXPECT_THAT(data, IsOk());
    if (data.ok() && data->has_value()) {
      EXPECT_EQ((*data)->position, request.offset_bytes() + answer.bytes.size());
      const std::string payload = Joined((*data)->payload);
      if ((*data)->crc32 != Crc32(payload)) ++answer.crcs_wrong;
      answer.bytes += payload;
      answer.data.push_back(**data);
      continue;
    }
    v1::PullResponse response;
    EXPECT_THAT(DecodeMessage(frame, &response), IsOk());
    if (response.has_header()) answer.header = response.header();
    if (response.has_manifest()) {
      EXPECT_THAT(assembler.Add(response.manifest()), IsOk());
      if (!assembler.done()) continue;
      auto manifest = assembler.Take(!request.has_rows());
      EXPECT_THAT(manifest, IsOk());
      if (manifest.ok()) answer.manifest = *std::move(manifest);
    }
  }
  return answer;
}

}  // namespace ballast
