#include <algorithm>
#include <atomic>

#include "ballast/v1/registry.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/frame.h"
#include "proto/frame_stream.h"
#include "tests/client/registry.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// "big" has rows of 100 000 bytes, which never end where a block does.
constexpr uint64_t kRowBytes = 100000, kRows = 40;

class PullRowsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = input_.Write("in", SafetensorsFile(tensors_));
    ASSERT_TRUE(client_->PushFile(path, "team/net", {}).ok());
  }

  const TestTensor& Find(const std::string& key) const {
    return *std::find_if(tensors_.begin(), tensors_.end(),
                         [&](const TestTensor& tensor) { return tensor.key == key; });
  }
  std::string Want(const std::string& key, uint64_t first, uint64_t count) const {
    const TestTensor& tensor = Find(key);
    const uint64_t row = tensor.bytes.size() / std::max<uint64_t>(tensor.shape[0], 1);
    return tensor.bytes.substr(first * row, count * row);
  }
  absl::StatusOr<PullRowsResult> Rows(Client* client, const std::string& key, const RowRange& rows,
                                      const CallControl& control = {}) {
    asked_.clear();
    return client->PullRows("team/net", key, rows, control,
                            [&](const TensorSpec& spec) -> absl::StatusOr<absl::Span<char>> {
                              asked_.push_back(spec);
                              memory_.assign(CheckedTensorBytes(spec), '\0');
                              return absl::MakeSpan(memory_.data(), memory_.size());
                            });
  }
  std::unique_ptr<Client> CutAt(int frame) {
    frames_ = 0;
    return registry_.NewClient([this, frame](const std::string& method) {
      return method == "Pull" && ++frames_ == frame;
    });
  }

  TestFolder input_, folder_;
  Registry registry_;
  std::unique_ptr<Client> client_ = registry_.NewClient();
  const std::vector<TestTensor> tensors_ = {
      {"big", "F32", {kRows, 250, 100}, Noise(kRows* kRowBytes, 1)},
      {"flat", "F64", {5}, Noise(40, 2)},
      {"matrix", "BF16", {6, 5}, Noise(60, 3)},
      {"none", "F32", {0, 7}, ""},
      {"narrow", "F32", {7, 0}, ""},
      {"scalar", "F32", {}, Noise(4, 4)},
      {"a*", "U8", {4}, "star"},
      {"a?", "U8", {4}, "mark"},
      {"ab", "U8", {4}, "both"},
      {"a[bc]=x", "U8", {4}, "brak"},
      {"", "U8", {4}, "void"},
  };
  std::string memory_;
  std::vector<TensorSpec> asked_;
  std::atomic<int> frames_ = 0;
};

TEST_F(PullRowsTest, FillMemoryWithExactlyTheRows) {
  const struct {
    std::string key;
    RowRange rows;
    uint64_t count;
  } cases[] = {
      {"big", {0, 1}, 1},         {"big", {10, 1}, 1},   {"big", {9, 12}, 12},  {"big", {39, 1}, 1},
      {"big", {0, kRows}, kRows}, {"big", {7, {}}, 33},  {"big", {40, {}}, 0},  {"big", {5, 0}, 0},
      {"flat", {1, 3}, 3},        {"flat", {4, {}}, 1},  {"matrix", {2, 4}, 4}, {"none", {0, 0}, 0},
      {"none", {0, {}}, 0},       {"narrow", {3, 2}, 2},
  };
  for (const auto& c : cases) {
    const auto pulled = Rows(client_.get(), c.key, c.rows);
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    EXPECT_TRUE(memory_ == Want(c.key, c.rows.first, c.count)) << c.key << " " << c.rows.first;
    ASSERT_EQ(asked_.size(), 1u);
    const TestTensor& whole = Find(c.key);
    EXPECT_EQ(pulled->tensor.key, c.key);
    EXPECT_TRUE(std::equal(whole.shape.begin(), whole.shape.end(), pulled->tensor.shape.begin(),
                           pulled->tensor.shape.end()));
    TensorSpec sliced = pulled->tensor;
    sliced.shape[0] = c.count;
    EXPECT_EQ(asked_[0], sliced);
    EXPECT_EQ(pulled->first_row, c.rows.first);
    EXPECT_EQ(pulled->rows, c.count);
    EXPECT_EQ(pulled->payload_bytes, memory_.size());
    EXPECT_EQ(pulled->pulled.bytes, memory_.size());
    EXPECT_EQ(pulled->pulled.reference, "team/net:1");
    EXPECT_EQ(pulled->pulled.digest, client_->GetVersion("team/net")->digest);
  }
}

TEST_F(PullRowsTest, TakeTheKeyForNoPattern) {
  for (const std::string key : {"a*", "a?", "ab", "a[bc]=x", ""}) {
    const auto pulled = Rows(client_.get(), key, {1, 3});
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    EXPECT_EQ(memory_, Want(key, 1, 3));
  }
  const auto pulled = Rows(client_.get(), "*", {0, 1});
  EXPECT_EQ(pulled.status().code(), absl::StatusCode::kNotFound) << pulled.status();
}

TEST_F(PullRowsTest, TakeOneCallAndOnlyTheBytesOfTheRows) {
  std::atomic<int> others = 0;
  const std::unique_ptr<Client> client = registry_.NewClient([&](const std::string& method) {
    if (method != "Pull") ++others;
    return false;
  });
  uint64_t received = 0;
  CallControl control;
  control.progress = [&](const Progress& progress) {
    received = progress.done_bytes;
    EXPECT_EQ(progress.total_bytes, 3 * kRowBytes);
    return true;
  };
  ASSERT_TRUE(Rows(client.get(), "big", {9, 3}, control).ok());
  EXPECT_EQ(received, 3 * kRowBytes);
  EXPECT_EQ(others, 0);
}

TEST_F(PullRowsTest, GoOnWhereTheConnectionWasCutAndAskForMemoryOnce) {
  int at = 0;
  do {
    const std::unique_ptr<Client> client = CutAt(++at);
    const auto pulled = Rows(client.get(), "big", {1, 38});
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    EXPECT_EQ(pulled->pulled.retries, frames_ >= at ? 1u : 0u) << at;
    EXPECT_EQ(asked_.size(), 1u) << at;
    EXPECT_TRUE(memory_ == Want("big", 1, 38)) << at;
  } while (frames_ >= at);
  EXPECT_GT(at, 4) << "request, header, manifest, data";
}

TEST_F(PullRowsTest, StayWithTheVersionTheyBeganWith) {
  bool pushed = false;
  CallControl control;
  control.progress = [&](const Progress&) {
    if (!std::exchange(pushed, true)) {
      const std::string path = input_.Write("2", SafetensorsFile({NoiseTensor("big", 9, 9)}));
      EXPECT_TRUE(registry_.NewClient()->PushFile(path, "team/net", {}).ok());
    }
    return true;
  };
  const std::unique_ptr<Client> client = CutAt(4);
  const auto pulled = Rows(client.get(), "big", {0, kRows}, control);
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_EQ(pulled->pulled.version, 1u);
  EXPECT_EQ(pulled->pulled.retries, 1u);
  EXPECT_TRUE(memory_ == Want("big", 0, kRows));
}

TEST_F(PullRowsTest, OfTiedKeysAreTheSame) {
  const std::string bytes = Noise(24, 7);
  const std::vector<TensorView> tied = {{"x", DType::kFloat32, {3, 2}, bytes},
                                        {"y", DType::kFloat32, {3, 2}, bytes}};
  ASSERT_TRUE(client_->PushTensors(tied, "team/net", {}).ok());
  for (const std::string key : {"x", "y"}) {
    const auto pulled = Rows(client_.get(), key, {1, 2});
    ASSERT_TRUE(pulled.ok()) << pulled.status();
    EXPECT_EQ(memory_, bytes.substr(8));
  }
}

TEST_F(PullRowsTest, SayWhatIsWrong) {
  const struct {
    std::string key;
    RowRange rows;
    absl::StatusCode code;
    std::string says;
  } cases[] = {
      {"matirx", {0, 1}, absl::StatusCode::kNotFound, "the nearest are \"matrix\""},
      {"matrix",
       {5, 2},
       absl::StatusCode::kOutOfRange,
       "rows of \"matrix\": wanted are 5:7, shape is [6, 5], want rows within 0:6"},
      {"matrix", {7, {}}, absl::StatusCode::kOutOfRange, "wanted are 7:, shape"},
      {"none", {0, 1}, absl::StatusCode::kOutOfRange, "shape is [0, 7]"},
      {"scalar", {0, 1}, absl::StatusCode::kInvalidArgument, "want a dimension"},
      {"a\n", {0, 1}, absl::StatusCode::kInvalidArgument, "control character"},
  };
  for (const auto& c : cases) {
    const auto pulled = Rows(client_.get(), c.key, c.rows);
    EXPECT_EQ(pulled.status().code(), c.code) << pulled.status();
    EXPECT_THAT(std::string(pulled.status().message()), HasSubstr(c.says));
    EXPECT_THAT(asked_, IsEmpty());
  }
}

// A server that was built before there were rows: the field is unknown to it.
class WithoutRows : public FrameStream {
 public:
  explicit WithoutRows(FrameStream* stream) : stream_(stream) {}
  absl::StatusOr<std::optional<Frame>> Read() override {
    auto frame = stream_->Read();
    v1::PullRequest request;
    if (!frame.ok() || !*frame || !DecodeMessage(**frame, &request).ok()) return frame;
    request.clear_rows();
    return EncodeMessage(request);
  }
  absl::Status Write(Frame frame) override { return stream_->Write(std::move(frame)); }

 private:
  FrameStream* stream_;
};

TEST_F(PullRowsTest, AreUnimplementedByAnOlderServer) {
  Handler& handler = (*registry_.methods())["Pull"].handler;
  handler = [pull = handler](Call* call, FrameStream* stream) {
    WithoutRows older(stream);
    return pull(call, &older);
  };
  const std::vector<TensorView> alone = {{"w", DType::kUint8, {4}, absl::MakeConstSpan("abcd", 4)}};
  const auto check = [&](const std::string& key, const RowRange& rows) {
    const auto pulled = Rows(client_.get(), key, rows);
    EXPECT_EQ(pulled.status().code(), absl::StatusCode::kUnimplemented) << pulled.status();
    EXPECT_THAT(std::string(pulled.status().message()), HasSubstr("the server is older"));
    EXPECT_THAT(asked_, IsEmpty());
  };
  check("matrix", {0, 1});
  ASSERT_TRUE(client_->PushTensors(alone, "team/net", {}).ok());
  check("w", {1, 2});
  check("w", {1, 0});
}

TEST_F(PullRowsTest, RefuseMemoryOfAnotherSize) {
  std::string memory(5, '\0');
  const auto pulled = client_->PullRows("team/net", "flat", {0, 2}, {},
                                        [&](const TensorSpec&) -> absl::StatusOr<absl::Span<char>> {
                                          return absl::MakeSpan(memory.data(), memory.size());
                                        });
  EXPECT_EQ(pulled.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(pulled.status().message()), HasSubstr("gave 5 bytes"));
}

TEST_F(PullRowsTest, OfADamagedBlockAreRefusedCutOrWhole) {
  std::string block = Find("big").bytes.substr(kBlockBytes, kBlockBytes);
  const Digest digest = Sha256Of(block);
  block[100] ^= 1;
  registry_.engine()->blobs()->Corrupt(digest, block);
  for (const RowRange rows : {RowRange{12, 1}, RowRange{0, kRows}}) {
    const auto pulled = Rows(client_.get(), "big", rows);
    EXPECT_EQ(pulled.status().code(), absl::StatusCode::kDataLoss) << pulled.status();
  }
  EXPECT_TRUE(Rows(client_.get(), "big", {0, 10}).ok()) << "block 0 is whole";
}

TEST_F(PullRowsTest, AreAFileOfOneTensorInEveryFormat) {
  for (const Format format :
       {Format::kSafetensors, Format::kTorchSharp, Format::kPyTorch, Format::kPyTorchLegacy}) {
    for (const uint64_t count : {uint64_t{25}, uint64_t{0}}) {
      PullRowsOptions options;
      options.format = format;
      options.overwrite = true;
      const std::string path = folder_.Path("out");
      const auto pulled = CutAt(5)->PullRowsFile("team/net", "big", {3, count}, path, options);
      ASSERT_TRUE(pulled.ok()) << pulled.status();
      EXPECT_EQ(pulled->pulled.format, format);
      EXPECT_EQ(pulled->pulled.bytes, ReadFileBytes(path).size());
      EXPECT_EQ(pulled->payload_bytes, count * kRowBytes);
      const std::string again = "again/" + std::string(FormatName(format));
      const auto pushed = client_->PushFile(path, again, {});
      ASSERT_TRUE(pushed.ok()) << pushed.status();
      const std::string bytes = Want("big", 3, count);
      const std::vector<TensorView> want = {{"big", DType::kFloat32, {count, 250, 100}, bytes}};
      EXPECT_EQ(pushed->digest, client_->PushTensors(want, "want", {})->digest);
    }
  }
}

TEST_F(PullRowsTest, AreTheSameFileAsAPullOfThatTensor) {
  for (const bool plain_dict : {false, true}) {
    PullOptions whole;
    whole.rules.include = {"matrix"};
    whole.plain_dict = plain_dict;
    std::string want, out;
    StringSink want_sink(&want), sink(&out);
    ASSERT_TRUE(client_->PullToSink("team/net", &want_sink, whole).ok());
    PullRowsOptions options;
    options.plain_dict = plain_dict;
    ASSERT_TRUE(client_->PullRowsToSink("team/net", "matrix", {}, &sink, options).ok());
    EXPECT_EQ(out, want);
  }
}

TEST_F(PullRowsTest, LeaveNoFileWhenTheyFailAndKeepTheOneThatIsThere) {
  PullRowsOptions options;
  options.control.progress = [](const Progress&) { return false; };
  const std::string path = folder_.Path("out");
  EXPECT_EQ(client_->PullRowsFile("team/net", "big", {}, path, options).status().code(),
            absl::StatusCode::kCancelled);
  EXPECT_THAT(folder_.Names(), IsEmpty());
  folder_.Write("mine", "mine");
  EXPECT_EQ(client_->PullRowsFile("team/net", "big", {}, folder_.Path("mine"), {}).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(folder_.Names(), ElementsAre("mine"));
}

}  // namespace
}  // namespace ballast
