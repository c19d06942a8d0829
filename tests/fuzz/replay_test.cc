// Without a fuzzer, in every build: what it starts from, and what it has found. A finding
// is a file in regressions/<target>/, named after what was wrong.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gtest/gtest.h"
#include "tests/fuzz/seeds.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {
namespace {

namespace fs = std::filesystem;

std::string Bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

const Target* Find(absl::string_view name) {
  for (const Target& target : AllTargets()) {
    if (target.name == name) return &target;
  }
  return nullptr;
}

std::vector<fs::path> FilesUnder(const std::string& folder) {
  std::vector<fs::path> out;
  if (!fs::exists(BALLAST_SOURCE_DIR + folder)) return out;
  for (const auto& item : fs::recursive_directory_iterator(BALLAST_SOURCE_DIR + folder)) {
    if (item.is_regular_file()) out.push_back(item.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

TEST(FuzzReplay, SeedsOfEveryTargetPass) {
  std::vector<absl::string_view> seeded;
  for (const Seed& seed : AllSeeds()) {
    const Target* target = Find(seed.target);
    ASSERT_NE(target, nullptr) << seed.target;
    target->run(seed.input);
    seeded.push_back(target->name);
  }
  for (const Target& target : AllTargets()) {
    EXPECT_EQ(std::count(seeded.begin(), seeded.end(), target.name) > 0, true) << target.name;
  }
}

TEST(FuzzReplay, GoldenFilesPass) {
  for (const fs::path& path : FilesUnder("/tests/golden")) {
    for (const Seed& seed : SeedsOfFile(Bytes(path))) Find(seed.target)->run(seed.input);
  }
}

TEST(FuzzReplay, FindingsStayMended) {
  for (const fs::path& path : FilesUnder("/tests/fuzz/regressions")) {
    const Target* target = Find(path.parent_path().filename().string());
    ASSERT_NE(target, nullptr) << path << " is of no target";
    target->run(Bytes(path));
  }
}

// Every target takes anything at all.
TEST(FuzzReplay, EveryTargetTakesEverySeed) {
  const std::vector<Seed> seeds = AllSeeds();
  for (const Target& target : AllTargets()) {
    target.run("");
    for (const Seed& seed : seeds) target.run(seed.input);
  }
}

}  // namespace
}  // namespace ballast::fuzz
