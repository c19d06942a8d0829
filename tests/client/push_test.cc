#include <atomic>
#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "absl/strings/match.h"
#include "ballast/v1/registry.pb.h"
#include "proto/frame.h"
#include "proto/frame_stream.h"
#include "storage/base/crc32.h"
#include "storage/base/file.h"
#include "storage/base/status.h"
#include "tests/client/registry.h"

namespace ballast {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr char kFitting[] =
    R"({"ballast_schema":1,"entries":[{"key":"a","dtype":"uint8","shape":["n"]}]})";
constexpr char kOther[] = R"({"ballast_schema":1,"entries":[{"key":"other","shape":[]}]})";

class PushTest : public ::testing::Test {
 protected:
  std::string File(const std::vector<TestTensor>& tensors, const std::string& name = "in") {
    return folder_.Write(name, SafetensorsFile(tensors));
  }

  TestFolder folder_;
  Registry registry_;
  std::unique_ptr<Client> client_ = registry_.NewClient();
};

// Counts the blocks of a push's manifest that come without their SHA-256: they were not hashed.
class UnhashedCounter : public FrameStream {
 public:
  UnhashedCounter(FrameStream* stream, uint64_t* count) : stream_(stream), count_(count) {}

  absl::StatusOr<std::optional<Frame>> Read() override {
    absl::StatusOr<std::optional<Frame>> frame = stream_->Read();
    if (frame.ok() && *frame) Count(**frame);
    return frame;
  }
  absl::Status Write(Frame frame) override { return stream_->Write(std::move(frame)); }

 private:
  void Count(const Frame& frame) {
    v1::PushRequest request;
    if (!DecodeMessage(frame, &request).ok()) return;
    for (const v1::Entry& entry : request.manifest().entries()) {
      const absl::string_view digests = entry.block_digests();
      for (size_t i = 0; i < digests.size(); i += Digest::kBytes) {
        *count_ += digests.substr(i, Digest::kBytes) == Digest().View();
      }
    }
  }

  FrameStream* const stream_;
  uint64_t* const count_;
};

TensorView View(const std::string& key, absl::string_view bytes) {
  return {key, DType::kUint8, Shape{bytes.size()}, {bytes.data(), bytes.size()}, Kind::kParameter};
}

TEST_F(PushTest, StoresAFileAndSaysWhatTravelled) {
  const auto pushed = client_->PushFile(File({NoiseTensor("a", 3 << 20, 1)}), "m", {});
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(pushed->reference, "m:1");
  EXPECT_EQ(pushed->entries, 1u);
  EXPECT_EQ(pushed->bytes, 3u << 20);
  EXPECT_EQ(pushed->bytes_sent, 3u << 20);
  EXPECT_EQ(pushed->bytes_new, 3u << 20);
  EXPECT_FALSE(pushed->repeated);
}

TEST_F(PushTest, KnownBlocksDoNotTravel) {
  const TestTensor kept = NoiseTensor("kept", (5 << 20) + 7, 1);
  ASSERT_TRUE(client_->PushFile(File({kept, NoiseTensor("x", 1000, 2)}), "m", {}).ok());
  const auto second = client_->PushFile(File({NoiseTensor("x", 900, 3), kept}), "m", {});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->version, 2u);
  EXPECT_EQ(second->bytes_sent, 900u);
  EXPECT_EQ(second->bytes_new, 900u);
}

TEST_F(PushTest, WhatIsSurelyNewNeedsNoDigestHere) {
  uint64_t unhashed = 0;
  Handler& handler = registry_.methods()->at("Push").handler;
  handler = [push = handler, &unhashed](Call* call, FrameStream* stream) {
    UnhashedCounter counter(stream, &unhashed);
    return push(call, &counter);
  };
  const auto client = registry_.NewClient();
  const TestTensor kept = NoiseTensor("kept", 6 << 20, 1);
  const TestTensor twice = NoiseTensor("twice", 5 << 20, 2);
  TestTensor again = twice;
  again.key = "twice.again";
  ASSERT_TRUE(client->PushFile(File({kept}), "m", {}).ok());
  EXPECT_EQ(unhashed, 6u);
  unhashed = 0;
  // The sample is of the first tensor; all the ways that a block can take are in the others.
  const std::string path =
      File({NoiseTensor("a", (20 << 20) + 7, 3), kept, twice, again, NoiseTensor("z", 100, 4)});
  const auto pushed = client->PushFile(path, "m", {});
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(pushed->bytes_sent, (25u << 20) + 107);
  EXPECT_EQ(pushed->bytes_new, pushed->bytes_sent);
  // All but the small ones, those that may be there, and those that may come twice.
  EXPECT_EQ(unhashed, 20u);
  const auto hashed = registry_.NewClient(
      [](const std::string& method) { return method == "AskBlocks"; });
  const auto other = hashed->PushFile(path, "m", {});
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->digest, pushed->digest);
  EXPECT_EQ(other->bytes_sent, 0u);
  EXPECT_EQ(client->PushFile(path, "m", {})->bytes_sent, 0u);
}

TEST_F(PushTest, AServerThatAnsweredTheQuestionIsWaitedFor) {
  std::atomic<int> frames = 0;
  const auto client = registry_.NewClient(
      [&](const std::string& method) { return method == "Push" && ++frames < 8; });
  const auto pushed = client->PushFile(File({NoiseTensor("a", 6 << 20, 1)}), "m", {});
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_GT(pushed->retries, 3u) << "what a server that never answered gets";
}

TEST_F(PushTest, ABlockWithTheCrcOfAnotherIsNotTakenForIt) {
  // XOR with these bytes anywhere leaves a CRC-32 as it is: its polynomial, bit-reversed.
  constexpr unsigned char kNothing[] = {0x41, 0x06, 0x71, 0xDB, 0x01};
  TestTensor tensor = NoiseTensor("a", 8 << 20, 1);
  ASSERT_TRUE(client_->PushFile(File({tensor}), "m", {}).ok());
  const uint32_t crc = Crc32(absl::string_view(tensor.bytes).substr(0, kBlockBytes));
  for (int i = 0; i < 5; ++i) tensor.bytes[100 + i] ^= static_cast<char>(kNothing[i]);
  ASSERT_EQ(Crc32(absl::string_view(tensor.bytes).substr(0, kBlockBytes)), crc);
  const auto pushed = client_->PushFile(File({NoiseTensor("new", 24 << 20, 2), tensor}), "m", {});
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(pushed->bytes_sent, (24u << 20) + kBlockBytes);
  std::string out;
  StringSink sink(&out);
  PullOptions only;
  only.rules.include = {"a"};
  ASSERT_TRUE(client_->PullToSink("m", &sink, only).ok());
  EXPECT_TRUE(absl::EndsWith(out, tensor.bytes));
}

TEST_F(PushTest, ManySmallTensorsComeBackAsTheyWere) {
  std::vector<TestTensor> tensors;
  for (int i = 0; i < 3000; ++i) {
    tensors.push_back(NoiseTensor("t" + std::to_string(i), 1 + i % 4000, 10 + i));
  }
  ASSERT_TRUE(client_->PushFile(File(tensors), "m", {}).ok());
  std::string out;
  StringSink sink(&out);
  const auto pulled = client_->PullToSink("m", &sink, {});
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_EQ(pulled->entries, 3000u);
  const auto again = client_->PushFile(folder_.Write("out", out), "m", {});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->digest, client_->GetVersion("m:1")->digest);
  EXPECT_EQ(again->bytes_sent, 0u);
}

TEST_F(PushTest, RawParsedAndMemoryGiveTheSameDigest) {
  const TestTensor tensor = NoiseTensor("a", 2'500'000, 1);
  const std::string path = File({tensor});
  PushOptions raw;
  raw.raw = true;
  const auto parsed = client_->PushFile(path, "m", {});
  const auto sent = client_->PushFile(path, "m", raw);
  const auto memory = client_->PushTensors({View("a", tensor.bytes)}, "m", {});
  ASSERT_TRUE(parsed.ok() && sent.ok() && memory.ok()) << sent.status() << memory.status();
  EXPECT_EQ(sent->digest, parsed->digest);
  EXPECT_EQ(memory->digest, parsed->digest);
  EXPECT_EQ(memory->bytes_sent, 0u);
}

TEST_F(PushTest, AStreamIsParsedByTheServer) {
  StringSource file(SafetensorsFile({NoiseTensor("a", 5000, 1)}));
  SourceStream stream(&file);
  const auto pushed = client_->PushStream(&stream, "m", {});
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(pushed->entries, 1u);
}

TEST_F(PushTest, AStreamIsReadOnlyWhenTheServerAnswers) {
  struct CountingStream : ByteStream {
    explicit CountingStream(ByteStream* from) : stream(from) {}
    absl::StatusOr<size_t> Read(absl::Span<char> out) override {
      ++reads;
      return stream->Read(out);
    }
    ByteStream* stream;
    int reads = 0;
  };
  StringSource file(SafetensorsFile({NoiseTensor("a", 5000, 1)}));
  SourceStream bytes(&file);
  CountingStream stream(&bytes);
  const auto gone = registry_.NewClient([](const std::string&) { return true; });
  EXPECT_EQ(gone->PushStream(&stream, "m", {}).status().code(), absl::StatusCode::kUnavailable);
  std::string out;
  StringSink sink(&out);
  ConvertOptions convert;
  convert.to = Format::kTorchSharp;
  EXPECT_EQ(gone->ConvertStream(&stream, &sink, convert).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(stream.reads, 0);
  // A server that cannot be reached at first.
  std::atomic<int> calls = 0;
  const auto late = registry_.NewClient([&](const std::string&) { return ++calls < 3; });
  EXPECT_TRUE(late->PushStream(&stream, "m", {}).ok());
}

TEST_F(PushTest, TheSameRequestIdGivesTheFirstAnswerAgain) {
  PushOptions options;
  options.request_id = "once";
  const auto first = client_->PushFile(File({NoiseTensor("a", 10, 1)}), "m", options);
  const auto second = client_->PushFile(File({NoiseTensor("a", 10, 1)}), "m", options);
  ASSERT_TRUE(first.ok() && second.ok()) << first.status() << second.status();
  EXPECT_EQ(second->version, 1u);
  EXPECT_TRUE(second->repeated);
}

TEST_F(PushTest, ARequestIdOfAnotherRawPushIsNoAnswer) {
  PushOptions options;
  options.request_id = "once";
  options.raw = true;
  ASSERT_TRUE(client_->PushFile(File({NoiseTensor("a", 10, 1)}), "m", options).ok());
  const auto same = client_->PushFile(File({NoiseTensor("a", 10, 1)}), "m", options);
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_TRUE(same->repeated);
  const auto other = client_->PushFile(File({NoiseTensor("a", 10, 2)}), "m", options);
  EXPECT_EQ(GetReason(other.status()), Reason::kConflict) << other.status();
  EXPECT_FALSE(client_->GetVersion("m:2").ok());
}

TEST_F(PushTest, ARequestIdOfAPushWithOtherFactsIsNoAnswer) {
  PushOptions options;
  options.request_id = "once";
  options.message = "first";
  options.labels = {{"a", "1"}};
  options.alias = "prod";
  const std::string file = File({NoiseTensor("a", 10, 1)});
  ASSERT_TRUE(client_->PushFile(file, "m", options).ok());
  ASSERT_TRUE(client_->PushFile(file, "m", {}).ok());
  ASSERT_TRUE(client_->SetAlias("m:2", "prod").ok());
  EXPECT_TRUE(client_->PushFile(file, "m", options).ok()) << "wherever prod has moved since";
  const auto refused = [&](const char* what, auto change) {
    PushOptions other = options;
    change(&other);
    const absl::Status status = client_->PushFile(file, "m", other).status();
    EXPECT_EQ(GetReason(status), Reason::kConflict) << status;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(what));
  };
  refused("another message", [](PushOptions* o) { o->message = "second"; });
  refused("other labels", [](PushOptions* o) { o->labels = {}; });
  refused("no move of alias beta", [](PushOptions* o) { o->alias = "beta"; });
}

TEST_F(PushTest, ARequestIdOfAnotherPushIsNoAnswer) {
  PushOptions options;
  options.request_id = "once";
  ASSERT_TRUE(client_->PushFile(File({NoiseTensor("a", 10, 1)}), "m", options).ok());
  const auto other = client_->PushFile(File({NoiseTensor("a", 10, 2)}), "m", options);
  EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(other.status()), Reason::kConflict);
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("request id once made m:1"));
}

TEST_F(PushTest, ARefusedPushGivesTheReportAndLeavesNothing) {
  for (const bool raw : {false, true}) {
    Report report;
    PushOptions options;
    options.raw = raw;
    options.schema.json = kOther;
    options.refusal = &report;
    const auto pushed = client_->PushFile(File({NoiseTensor("a", 10, 1)}), "refused", options);
    EXPECT_EQ(pushed.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(GetReason(pushed.status()), Reason::kSchemaMismatch);
    EXPECT_FALSE(report.ok);
    ASSERT_EQ(report.missing.size(), 1u);
    EXPECT_EQ(report.missing[0].key, "other");
    EXPECT_EQ(client_->GetVersion("refused").status().code(), absl::StatusCode::kNotFound);
  }
}

TEST_F(PushTest, ASchemaCanBeAVersions) {
  ASSERT_TRUE(client_->PushFile(File({NoiseTensor("a", 10, 1)}), "like", {}).ok());
  PushOptions options;
  options.schema.reference = "like:1";
  EXPECT_TRUE(client_->PushFile(File({NoiseTensor("a", 10, 2)}), "m", options).ok());
  const auto other = client_->PushFile(File({NoiseTensor("b", 10, 2)}), "m", options);
  EXPECT_EQ(GetReason(other.status()), Reason::kSchemaMismatch);
}

TEST_F(PushTest, RulesComeBeforeTheSchema) {
  PushOptions options;
  options.schema.json = kFitting;
  options.rules.select = "net";
  options.rules.exclude = {"*.skip"};
  options.rules.rename = {"(.)\\.w=\\1"};
  const std::vector<TestTensor> tensors = {
      NoiseTensor("net.a.w", 4, 1), NoiseTensor("net.a.skip", 4, 1), NoiseTensor("other", 4, 1)};
  for (const bool raw : {false, true}) {
    options.raw = raw;
    const auto pushed = client_->PushFile(File(tensors), "m", options);
    ASSERT_TRUE(pushed.ok()) << pushed.status();
    EXPECT_EQ(pushed->entries, 1u);
  }
  EXPECT_EQ((*client_->AllEntries("m"))[0].spec.key, "a");
}

TEST_F(PushTest, FactsOfAPushAreKept) {
  ASSERT_TRUE(client_->PushFile(File({NoiseTensor("a", 1, 1)}), "m", {}).ok());
  PushOptions options;
  options.message = "second";
  options.labels = {{"k", "v"}};
  options.parent = "m:1";
  options.alias = "prod";
  ASSERT_TRUE(client_->PushFile(File({NoiseTensor("a", 1, 2)}), "m", options).ok());
  const auto version = client_->GetVersion("m@prod");
  ASSERT_TRUE(version.ok()) << version.status();
  EXPECT_EQ(version->version, 2u);
  EXPECT_EQ(version->message, "second");
  EXPECT_EQ(version->labels.at("k"), "v");
  EXPECT_EQ(version->parent, 1u);
  EXPECT_EQ(version->aliases, std::vector<std::string>{"prod"});
}

TEST_F(PushTest, WarnsAboutAnEmptyStateDict) {
  for (const bool raw : {false, true}) {
    PushOptions options;
    options.raw = raw;
    const auto pushed = client_->PushFile(File({}), "empty", options);
    ASSERT_TRUE(pushed.ok()) << pushed.status();
    EXPECT_THAT(pushed->warnings, Contains(HasSubstr("empty")));
  }
}

TEST_F(PushTest, MemoryThatIsSharedMakesATie) {
  const std::string shared = Noise(100, 1), equal = shared;
  const auto pushed = client_->PushTensors({View("a", shared), View("b", equal), View("c", shared),
                                            View("d", absl::string_view(shared).substr(0, 50))},
                                           "m", {});
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  const auto json = client_->Inspect("m", {});
  ASSERT_TRUE(json.ok());
  EXPECT_THAT(*json, HasSubstr("\"ties\":[\n[\"a\",\"c\"]\n]"));
}

TEST_F(PushTest, RefusesTensorsThatAreNone) {
  const std::string bytes(8, 'x');
  TensorView wrong = View("a", bytes);
  wrong.shape = Shape{9};
  struct Row {
    std::vector<TensorView> tensors;
    const char* says;
  } rows[] = {
      {{wrong}, "\"a\": memory is 8 bytes, want 9 for uint8 [9]"},
      {{View("a", bytes), View("a", bytes)}, "\"a\" is there twice"},
      {{View("a\nb", bytes)}, "control"},
  };
  for (const Row& row : rows) {
    const auto pushed = client_->PushTensors(row.tensors, "m", {});
    EXPECT_EQ(pushed.status().code(), absl::StatusCode::kInvalidArgument) << pushed.status();
    EXPECT_THAT(std::string(pushed.status().message()), HasSubstr(row.says));
  }
}

TEST_F(PushTest, RefusesWhatIsMalformedBeforeItIsSent) {
  const std::string path = File({NoiseTensor("a", 1, 1)});
  PushOptions alias, parent, schema, reference, rename, message, label, id;
  alias.alias = "latest";
  parent.parent = "A:1";
  schema.schema.json = "{}";
  reference.schema.reference = "a//b";
  rename.rules.rename = {"("};
  message.message = "caf\xe9";
  label.labels["a"] = "\xff";
  id.request_id = "a b";
  struct Row {
    const char* model;
    PushOptions options;
    const char* says;
  } rows[] = {{"Upper", {}, "upper"},
              {"m", alias, "latest"},
              {"m", parent, "parent"},
              {"m", schema, "schema"},
              {"m", reference, "a//b"},
              {"m", rename, "rename"},
              {"m", message, "message is \"caf\\xe9\", want UTF-8"},
              {"m", label, "label is \"a=\\xff\", want UTF-8"},
              {"m", id, "request id is \"a b\", want 1 to 64 printable ASCII bytes"}};
  const std::unique_ptr<Client> nobody = registry_.NewClient([](const std::string&) {
    ADD_FAILURE() << "something was sent";
    return true;
  });
  for (const Row& row : rows) {
    const auto pushed = nobody->PushFile(path, row.model, row.options);
    EXPECT_EQ(pushed.status().code(), absl::StatusCode::kInvalidArgument) << row.says;
    EXPECT_THAT(std::string(pushed.status().message()), HasSubstr(row.says));
  }
}

TEST_F(PushTest, ACutConnectionIsTriedAgainAndMakesOneVersion) {
  const std::string path = File({NoiseTensor("a", 5 << 20, 1), NoiseTensor("b", 77, 2)});
  // Cut at the first, second, third … frame of the push.
  for (int at = 1; at <= 9; ++at) {
    const std::string model = "cut/m" + std::to_string(at);
    std::atomic<int> frames = 0;
    const std::unique_ptr<Client> client = registry_.NewClient(
        [&](const std::string& method) { return method == "Push" && ++frames == at; });
    const auto pushed = client->PushFile(path, model, {});
    ASSERT_TRUE(pushed.ok()) << at << ": " << pushed.status();
    EXPECT_EQ(client_->AllVersions(model)->size(), 1u) << at;
  }
}

TEST_F(PushTest, WhatTravelsTwiceIsLittleAndIsCounted) {
  constexpr uint64_t kSize = 12 << 20;
  constexpr uint64_t kTwice = 4 << 20;  // a cut
  for (int at = 2; at <= 9; ++at) {
    const std::string path = File({NoiseTensor("a", kSize, 100 + at)});
    std::atomic<int> frames = 0;
    const std::unique_ptr<Client> client = registry_.NewClient(
        [&](const std::string& method) { return method == "Push" && ++frames == at; });
    const auto pushed = client->PushFile(path, "m", {});
    ASSERT_TRUE(pushed.ok()) << pushed.status();
    EXPECT_EQ(pushed->retries, 1u) << at;
    EXPECT_GE(pushed->bytes_sent, kSize) << at;
    EXPECT_LE(pushed->bytes_sent, kSize + kTwice) << at;
    EXPECT_LE(pushed->bytes_new, kSize);
  }
}

TEST_F(PushTest, ALaterCallWithTheRequestIdGoesOn) {
  const std::string path = File({NoiseTensor("a", 12 << 20, 1)});
  PushOptions options;
  options.request_id = "the-same";
  options.control.retry_for = absl::ZeroDuration();
  std::atomic<int> frames = 0;
  const std::unique_ptr<Client> client = registry_.NewClient(
      [&](const std::string& method) { return method == "Push" && ++frames == 8; });
  EXPECT_EQ(client->PushFile(path, "m", options).status().code(), absl::StatusCode::kUnavailable);
  const auto later = client_->PushFile(path, "m", options);
  ASSERT_TRUE(later.ok()) << later.status();
  EXPECT_EQ(later->version, 1u);
  EXPECT_LE(later->bytes_sent, 8u << 20) << "4 frames of 2 MiB had come";
}

TEST_F(PushTest, RetryForBoundsTheTrying) {
  const std::string path = File({NoiseTensor("a", 9, 1)});
  for (const bool answers : {false, true}) {
    std::atomic<int> pushes = 0, frames = 0;
    // The server says what it needs, or nothing at all, and then the connection is cut.
    const std::unique_ptr<Client> client = registry_.NewClient([&](const std::string&) {
      if (!answers) return ++pushes > 0;
      if (++frames % 4 == 0) return ++pushes > 0;
      return false;
    });
    PushOptions options;
    options.control.retry_for = absl::ZeroDuration();
    EXPECT_EQ(client->PushFile(path, "m", options).status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(pushes, 1) << "not tried again at all";
  }
  // Nothing is known of when time ends here; but it does.
  PushOptions options;
  options.control.retry_for = absl::Milliseconds(20);
  std::atomic<int> calls = 0;
  const std::unique_ptr<Client> gone =
      registry_.NewClient([&](const std::string&) { return ++calls > 0; });
  EXPECT_EQ(gone->PushFile(path, "m", options).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_GE(calls, 1);
  // Nobody said how long: a server that never answers is given up after ClientOptions::retries.
  calls = 0;
  EXPECT_EQ(gone->PushFile(path, "m", {}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(calls, 4);
}

TEST_F(PushTest, APushThatNeverGetsFurtherEnds) {
  // What is sent is always lost: the server is another one each time.
  PushOptions options;
  options.control.retry_for = absl::Hours(1);
  options.raw = true;
  std::atomic<int> frames = 0;
  const std::unique_ptr<Client> client =
      registry_.NewClient([&](const std::string&) { return ++frames % 3 == 0; });
  const auto pushed = client->PushFile(File({NoiseTensor("a", 12 << 20, 1)}), "m", options);
  EXPECT_EQ(pushed.status().code(), absl::StatusCode::kUnavailable) << pushed.status();
  EXPECT_LE(frames, 3 * 11);
}

TEST_F(PushTest, AConnectionThatIsAlwaysCutIsUnavailable) {
  std::atomic<int> calls = 0;
  const std::unique_ptr<Client> client =
      registry_.NewClient([&](const std::string&) { return ++calls > 0; });
  const auto pushed = client->PushFile(File({NoiseTensor("a", 9, 1)}), "m", {});
  EXPECT_EQ(pushed.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(pushed.status().message()), HasSubstr("in-process"));
}

TEST_F(PushTest, AProgressCallbackCancels) {
  for (const auto phase : {Progress::Phase::kHash, Progress::Phase::kSend}) {
    PushOptions options;
    options.control.progress = [&](const Progress& p) { return p.phase != phase; };
    const auto pushed = client_->PushFile(File({NoiseTensor("a", 9 << 20, 1)}), "m", options);
    EXPECT_EQ(pushed.status().code(), absl::StatusCode::kCancelled);
  }
  EXPECT_EQ(client_->GetVersion("m").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(PushTest, ATokenCancels) {
  PushOptions options;
  options.control.progress = [&](const Progress& p) {
    if (p.phase == Progress::Phase::kSend) options.control.cancel.Cancel();
    return true;
  };
  const auto pushed = client_->PushFile(File({NoiseTensor("a", 9 << 20, 1)}), "m", options);
  EXPECT_EQ(pushed.status().code(), absl::StatusCode::kCancelled) << pushed.status();
}

TEST_F(PushTest, ProgressReachesTheWhole) {
  uint64_t hashed = 0, total = 0;
  PushOptions options;
  options.control.progress = [&](const Progress& p) {
    if (p.phase == Progress::Phase::kHash) {
      hashed = std::max(hashed, p.done_bytes);
      total = p.total_bytes;
    }
    return true;
  };
  ASSERT_TRUE(client_->PushFile(File({NoiseTensor("a", 3 << 20, 1)}), "m", options).ok());
  EXPECT_EQ(hashed, 3u << 20);
  EXPECT_EQ(total, 3u << 20);
}

TEST_F(PushTest, AFileThatIsNotThereIsNotFound) {
  const auto pushed = client_->PushFile(folder_.Path("absent"), "m", {});
  EXPECT_EQ(pushed.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(pushed.status().message()), HasSubstr("absent"));
}

TEST_F(PushTest, AMalformedFileIsNamed) {
  const std::string path =
      folder_.Write("cut", SafetensorsFile({NoiseTensor("a", 50, 1)}).substr(0, 90));
  const auto pushed = client_->PushFile(path, "m", {});
  EXPECT_EQ(pushed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(pushed.status().message()), HasSubstr(path));
}

// One float32 tensor.
TestTensor Floats(const std::string& key, const std::vector<float>& values) {
  return {key,
          "F32",
          {values.size()},
          {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}};
}

TEST_F(PushTest, HealthIsCountedTheSameWhoeverReadsTheFile) {
  std::vector<float> many(1'000'000);  // some blocks
  for (size_t i = 0; i < many.size(); ++i) many[i] = std::sin(static_cast<float>(i)) / 50;
  const std::string path = File({Floats("many", many), NoiseTensor("noise", 3'000'000, 1),
                                 Floats("some", {0, 1, NAN, -INFINITY, 0, -3})});
  PushOptions raw;
  raw.raw = true;
  ASSERT_TRUE(client_->PushFile(path, "m", {}).ok());
  ASSERT_TRUE(client_->PushFile(path, "m", raw).ok());
  const auto parsed = client_->AllEntries("m:1"), sent = client_->AllEntries("m:2");
  ASSERT_TRUE(parsed.ok() && sent.ok()) << parsed.status() << sent.status();
  ASSERT_EQ(parsed->size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ((*parsed)[i].health, (*sent)[i].health) << i;
  EXPECT_EQ((*parsed)[2].health, (Health{1, 1, 2, -3, 1, -0.5}));
  EXPECT_NEAR((*parsed)[0].health->mean, 0, 1e-6);
  InspectOptions digests;
  digests.digests = true;
  EXPECT_THAT(*client_->Inspect("m:1", digests),
              HasSubstr(R"("health":{"nan":1,"inf":1,"zeros":2,"min":-3,"max":1,"mean":-0.5})"));
}

TEST_F(PushTest, TiedTensorsHaveTheSameHealth) {
  const std::string bytes(4, '\1');
  ASSERT_TRUE(client_->PushTensors({View("a", bytes), View("b", bytes)}, "m", {}).ok());
  const auto entries = client_->AllEntries("m");
  ASSERT_TRUE(entries.ok());
  EXPECT_EQ((*entries)[0].health, (Health{0, 0, 0, 1, 1, 1}));
  EXPECT_EQ((*entries)[1].health, (*entries)[0].health);
}

TEST_F(PushTest, TheGateRefusesWhatIsNotFiniteBeforeAnythingIsSent) {
  std::atomic<int> frames = 0;
  const auto counting = registry_.NewClient([&](const std::string&) {
    ++frames;
    return false;
  });
  const std::string path =
      File({Floats("a", {1}), Floats("b", {NAN, INFINITY}), Floats("c", {NAN})});
  PushOptions options;
  options.no_nan = true;
  const absl::Status refused = counting->PushFile(path, "m", options).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("NaN or Inf in 2 tensors: \"b\" (1 NaN, 1 Inf), \"c\" (1 NaN)"));
  EXPECT_EQ(frames, 0);
  options.raw = true;
  const absl::Status raw = client_->PushFile(path, "m", options).status();
  EXPECT_EQ(raw.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(raw.message()), HasSubstr("\"b\" (1 NaN, 1 Inf)"));
  EXPECT_TRUE(absl::IsNotFound(client_->GetModel("m").status()));
  options.raw = false;
  EXPECT_TRUE(client_->PushFile(File({Floats("a", {1})}, "fine"), "m", options).ok());
}

}  // namespace
}  // namespace ballast
