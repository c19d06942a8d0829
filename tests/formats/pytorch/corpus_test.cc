// Real files of torch.save (zip, stream and tar) and TorchScript, committed by others: every
// manifest's keys, dtypes, shapes and SHA-256 must come out, and hostile files must
// be refused. The corpus is found by BALLAST_CORPUS, or beside the source.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "storage/base/digest.h"
#include "storage/base/file.h"
#include "storage/base/status.h"
#include "storage/formats/inspect.h"
#include "storage/formats/pickle_machine.h"
#include "storage/formats/pytorch_reader.h"
#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;
using Manifest = nlohmann::json;

std::string CorpusFolder() {
  if (const char* folder = std::getenv("BALLAST_CORPUS")) return folder;
  for (const char* beside : {"/../shared/corpus", "/../../shared/corpus"}) {
    const std::string folder = std::string(BALLAST_SOURCE_DIR) + beside;
    if (fs::exists(folder)) return folder;
  }
  return "";
}

// Manifests by the path of the file that they describe, of files that begin with `magic`.
std::vector<std::pair<std::string, Manifest>> Manifests(const std::string& magic) {
  std::vector<std::pair<std::string, Manifest>> out;
  const std::string suffix = ".expected.json";
  for (const auto& item : fs::recursive_directory_iterator(CorpusFolder())) {
    std::string path = item.path();
    if (path.size() <= suffix.size() || path.substr(path.size() - suffix.size()) != suffix) {
      continue;
    }
    std::ifstream manifest(path);
    path.resize(path.size() - suffix.size());
    std::ifstream file(path, std::ios::binary);
    std::string head(magic.size(), '\0');
    file.read(head.data(), static_cast<std::streamsize>(head.size()));
    if (head == magic) out.emplace_back(path, Manifest::parse(manifest));
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Manifests of PyTorch's containers: zips, old streams, tars.
std::vector<std::pair<std::string, Manifest>> PyTorchManifests() {
  std::vector<std::pair<std::string, Manifest>> out = Manifests("PK\3\4");
  for (auto& [path, manifest] : Manifests("")) {
    const std::string kind = manifest["kind"].get<std::string>();
    if (kind.rfind("legacy-", 0) == 0 || kind.rfind("tar-", 0) == 0) {
      out.emplace_back(path, std::move(manifest));
    }
  }
  return out;
}

std::vector<std::string> Lines(const Manifest& entries) {
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

// `want` and the tensors that a TorchScript archive has as plain attributes.
std::vector<std::string> AttributesOf(const Manifest& manifest, std::vector<std::string> want) {
  if (!manifest.contains("tensors_outside_state_dict")) return want;
  for (std::string& line : Lines(manifest["tensors_outside_state_dict"])) {
    want.push_back(std::move(line));
  }
  return want;
}

class PyTorchCorpus : public ::testing::Test {
 protected:
  void SetUp() override {
    if (CorpusFolder().empty()) GTEST_SKIP() << "no corpus; set BALLAST_CORPUS to its folder";
  }
};

TEST_F(PyTorchCorpus, AgreesWithManifests) {
  int seen = 0;
  for (const auto& [path, manifest] : PyTorchManifests()) {
    if (manifest["expect"] != "load") continue;
    ++seen;
    auto file = OpenFile(path);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto tensors = ReadAll(**file);
    ASSERT_TRUE(tensors.ok()) << path << ": " << tensors.status();
    std::vector<std::string> got = Lines(*tensors);
    std::vector<std::string> want = Lines(manifest["entries"]);
    if (manifest.value("order_significant", true)) {
      EXPECT_EQ(got, want) << path;
    } else {  // TorchScript: plain attributes may come out too
      EXPECT_THAT(got, ::testing::IsSupersetOf(want)) << path;
      EXPECT_THAT(AttributesOf(manifest, want), ::testing::IsSupersetOf(got)) << path;
    }
  }
  EXPECT_GE(seen, 74);
}

TEST_F(PyTorchCorpus, ReadsOrRefusesTheRest) {
  for (const auto& [path, manifest] : PyTorchManifests()) {
    if (manifest["expect"] != "either") continue;
    auto file = OpenFile(path);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto tensors = ReadAll(**file);
    if (tensors.ok()) {
      EXPECT_EQ(Lines(*tensors), Lines(manifest["entries"])) << path;
    } else {
      EXPECT_NE(GetReason(tensors.status()), Reason::kNone) << path << tensors.status();
    }
  }
}

TEST_F(PyTorchCorpus, RefusesHostileFiles) {
  int seen = 0;
  for (const auto& [path, manifest] : PyTorchManifests()) {
    if (manifest["expect"] != "reject") continue;
    ++seen;
    auto file = OpenFile(path);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto dict = ReadPyTorch(**file, Limits());
    ASSERT_FALSE(dict.ok()) << path;
    EXPECT_EQ(GetReason(dict.status()), Reason::kUnsafe) << path << dict.status();
    EXPECT_THAT(std::string(dict.status().message()), ::testing::HasSubstr("posix.system"));
  }
  EXPECT_GE(seen, 1);
}

TEST_F(PyTorchCorpus, RefusesHostilePickles) {
  int seen = 0;
  for (const auto& [path, manifest] : Manifests("")) {
    if (manifest["kind"] != "hostile" || path.find(".zip") != std::string::npos) continue;
    auto file = OpenFile(path);
    ASSERT_TRUE(file.ok()) << file.status();
    SourceStream stream(file->get());
    const absl::Status status = RunPickle(&stream, Limits()).status();
    EXPECT_FALSE(status.ok()) << path;
    if (GetReason(status) == Reason::kUnsafe) ++seen;
  }
  EXPECT_EQ(seen, 2);
}

TEST_F(PyTorchCorpus, TellsParametersViewsAndTies) {
  for (const auto& [path, manifest] : PyTorchManifests()) {
    if (manifest["expect"] != "load" || manifest["kind"] == "torchscript") continue;
    auto file = OpenFile(path);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto dict = ReadStateDict(**file, Format::kUnknown, Limits());
    ASSERT_TRUE(dict.ok()) << path << ": " << dict.status();
    // A module's state_dict() would have it; the file has none.
    const bool module = manifest["kind"] == "legacy-whole-module";
    if (manifest.value("has_metadata", false) && !module) {
      EXPECT_THAT(dict->metadata_json, ::testing::StartsWith("{\"\":{\"version\":")) << path;
    }
    for (size_t i = 0; i < dict->entries.size(); ++i) {
      const auto& want = manifest["entries"][i];
      if (want.value("parameter", false)) {
        EXPECT_EQ(dict->entries[i].spec.kind, Kind::kParameter) << path;
      }
      if (want.contains("shares_storage_with")) {
        EXPECT_EQ(dict->entries[i].storage, dict->entries[want["shares_storage_with"]].storage);
      }
      EXPECT_EQ(!dict->entries[i].strides.empty(), want.contains("stride")) << path;
    }
  }
}

// The items of `list` by `name`.
std::map<std::string, Manifest> ByName(const Manifest& list, const char* name) {
  std::map<std::string, Manifest> out;
  for (const Manifest& item : list) out[item[name].get<std::string>()] = item;
  return out;
}

TEST_F(PyTorchCorpus, InspectTellsViewsAndWhatIsNoTensor) {
  int views = 0, leaves = 0;
  for (const auto& [path, manifest] : PyTorchManifests()) {
    if (manifest["expect"] != "load" || manifest["kind"] == "torchscript") continue;
    auto file = OpenFile(path);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto dict = ReadStateDict(**file, Format::kUnknown, Limits());
    ASSERT_TRUE(dict.ok()) << path << ": " << dict.status();
    const Manifest document = Manifest::parse(*InspectJson(*dict, nullptr));
    EXPECT_NE(document["writer"], "") << path;
    EXPECT_EQ(document["container"]["file_bytes"], (*file)->size_bytes());
    EXPECT_LE(document["storages"]["used_bytes"], document["storages"]["stored_bytes"]) << path;
    const auto told = ByName(document["views"], "key");
    for (const Manifest& entry : manifest["entries"]) {
      const bool is_view = entry.contains("storage_nbytes") || entry.contains("stride");
      if (!is_view || entry["nbytes"] == 0) continue;
      ++views;
      ASSERT_TRUE(told.contains(entry["key"])) << path << entry["key"];
      const Manifest& view = told.at(entry["key"]);
      EXPECT_EQ(view["used_bytes"], entry["nbytes"]);
      EXPECT_EQ(view["storage_bytes"], entry.value("storage_nbytes", entry["nbytes"]));
    }
    const auto found = ByName(document["leaves"], "path");
    for (const Manifest& value : manifest.value("nontensor_top", Manifest::array())) {
      if (!value.contains("value")) continue;
      ++leaves;
      ASSERT_TRUE(found.contains(value["key"])) << path << value["key"];
      EXPECT_EQ(found.at(value["key"]).value("value", Manifest("none")), value["value"]) << path;
    }
  }
  EXPECT_GE(views, 20);
  EXPECT_GE(leaves, 20);
}

}  // namespace
}  // namespace ballast
