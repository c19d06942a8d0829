// Real files, committed by others: every manifest's keys, dtypes, shapes and
// SHA-256 must come out. The corpus is found by BALLAST_CORPUS, or beside the source.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "nlohmann/json.hpp"
#include "storage/base/digest.h"
#include "storage/base/file.h"
#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;

std::string CorpusFolder() {
  if (const char* folder = std::getenv("BALLAST_CORPUS")) return folder;
  for (const char* beside : {"/../shared/corpus", "/../../shared/corpus"}) {
    if (fs::exists(std::string(BALLAST_SOURCE_DIR) + beside)) {
      return std::string(BALLAST_SOURCE_DIR) + beside;
    }
  }
  return "";
}

// Manifests by the path of the file that they describe.
std::vector<std::pair<std::string, nlohmann::json>> Manifests() {
  std::vector<std::pair<std::string, nlohmann::json>> out;
  for (const auto& item : fs::recursive_directory_iterator(CorpusFolder())) {
    const std::string path = item.path();
    const std::string suffix = ".expected.json";
    if (path.size() <= suffix.size() || path.substr(path.size() - suffix.size()) != suffix) {
      continue;
    }
    std::ifstream in(path);
    out.emplace_back(path.substr(0, path.size() - suffix.size()), nlohmann::json::parse(in));
  }
  std::sort(out.begin(), out.end());
  return out;
}

// One line per tensor, as the manifest has it.
std::vector<std::string> Lines(const nlohmann::json& entries) {
  std::vector<std::string> out;
  for (const auto& entry : entries) {
    out.push_back(entry["key"].get<std::string>() + " " + entry["dtype"].get<std::string>() + " " +
                  entry["shape"].dump() + " " + entry["sha256"].get<std::string>());
  }
  return out;
}

std::vector<std::string> Lines(const std::vector<Tensor>& tensors) {
  std::vector<std::string> out;
  for (const Tensor& tensor : tensors) {
    out.push_back(absl::StrCat(tensor.spec.key, " ", DTypeName(tensor.spec.dtype), " ",
                               absl::StrReplaceAll(ShapeText(tensor.spec.shape), {{", ", ","}}),
                               " ", Sha256Of(tensor.bytes).Hex()));
  }
  return out;
}

bool IsOurs(const std::string& kind) {
  return kind == "safetensors" || kind.rfind("torchsharp-", 0) == 0;
}

TEST(Corpus, AgreesWithManifestsOfTorchSharpAndSafetensors) {
  if (CorpusFolder().empty()) GTEST_SKIP() << "no corpus; set BALLAST_CORPUS to its folder";
  int seen = 0;
  for (const auto& [path, manifest] : Manifests()) {
    if (!IsOurs(manifest["kind"])) continue;
    ++seen;
    auto file = OpenFile(path);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto tensors = ReadAll(**file);
    ASSERT_TRUE(tensors.ok()) << path << ": " << tensors.status();
    EXPECT_EQ(Lines(*tensors), Lines(manifest["entries"])) << path;
  }
  EXPECT_GT(seen, 15);
}

TEST(Corpus, ForwardReadingGivesTheSameTensors) {
  if (CorpusFolder().empty()) GTEST_SKIP() << "no corpus; set BALLAST_CORPUS to its folder";
  for (const auto& [path, manifest] : Manifests()) {
    const std::string kind = manifest["kind"];
    if (kind != "safetensors" && kind != "torchsharp-module-dat") continue;
    std::ifstream in(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    const auto tensors =
        ReadAllForward(bytes, kind == "safetensors" ? Format::kSafetensors : Format::kTorchSharp);
    ASSERT_TRUE(tensors.ok()) << path << ": " << tensors.status();
    const std::vector<std::string> got = Lines(*tensors);
    const std::vector<std::string> want = Lines(manifest["entries"]);
    EXPECT_EQ(std::multiset<std::string>(got.begin(), got.end()),
              std::multiset<std::string>(want.begin(), want.end()))
        << path;
  }
}

TEST(Corpus, RefusesWhatIsNoWeightFile) {
  if (CorpusFolder().empty()) GTEST_SKIP() << "no corpus; set BALLAST_CORPUS to its folder";
  int seen = 0;
  for (const auto& [path, manifest] : Manifests()) {
    if (manifest["kind"] != "lfs-pointer" && manifest["kind"] != "not-a-weight-file") continue;
    ++seen;
    auto file = OpenFile(path);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_FALSE(ReadAll(**file).ok()) << path;
  }
  EXPECT_GE(seen, 3);
}

}  // namespace
}  // namespace ballast
