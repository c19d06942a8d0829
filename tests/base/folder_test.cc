#include "storage/base/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "storage/base/byte_io.h"
#include "storage/base/concatenated_source.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

bool IsShard(absl::string_view name) { return name == "shard" || name == "old"; }

class FolderTest : public testing::Test {
 protected:
  FolderTest() {
    std::string name = testing::TempDir() + "/ballast-folder-XXXXXX";
    dir_ = mkdtemp(name.data());
  }
  ~FolderTest() override { std::filesystem::remove_all(dir_); }
  std::string Path(const std::string& name) const { return dir_ + "/" + name; }
  void Put(const std::string& path, const std::string& text = "x") const {
    std::ofstream(path, std::ios::binary) << text;
  }
  std::vector<std::string> Names(const std::string& path) const {
    std::vector<std::string> names;
    const auto list = ListFolder(path, Limits());
    EXPECT_TRUE(list.ok()) << list.status();
    for (const FolderEntry& entry : *list) names.push_back(entry.name);
    return names;
  }
  std::unique_ptr<AtomicFolder> Filled(bool overwrite = false) const {
    auto folder = AtomicFolder::Create(Path("out/"), overwrite, IsShard);
    EXPECT_TRUE(folder.ok()) << folder.status();
    Put((*folder)->PathOf("shard"));
    return *std::move(folder);
  }

  std::string dir_;
};

TEST_F(FolderTest, ListsFilesAndFoldersByNameAndFollowsLinks) {
  Put(Path("b"));
  Put(Path(".a"));
  std::filesystem::create_directory(Path("sub"));
  std::filesystem::create_symlink("b", Path("link"));
  std::filesystem::create_symlink("sub", Path("link-to-sub"));
  std::filesystem::create_symlink("nowhere", Path("dangling"));
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  const auto list = ListFolder(dir_, Limits());
  ASSERT_TRUE(list.ok()) << list.status();
  std::vector<std::string> found;
  for (const FolderEntry& entry : *list) found.push_back(entry.name + (entry.is_folder ? "/" : ""));
  EXPECT_THAT(found, ElementsAre(".a", "b", "link", "link-to-sub/", "sub/"));
  Limits limits;
  limits.folder_entries_max = 4;
  EXPECT_EQ(GetReason(ListFolder(dir_, limits).status()), Reason::kLimit);
  EXPECT_EQ(ListFolder(Path("absent"), Limits()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(IsFolder(dir_));
  EXPECT_FALSE(IsFolder(Path("b")));
  EXPECT_FALSE(IsFolder(Path("absent")));
}

TEST_F(FolderTest, PathsHaveAFolderAndAName) {
  EXPECT_EQ(FolderOf("a/b/c"), "a/b");
  EXPECT_EQ(FolderOf("/c"), "/");
  EXPECT_EQ(FolderOf("c"), ".");
  EXPECT_EQ(BaseNameOf("a/b/c"), "c");
  EXPECT_EQ(BaseNameOf("c"), "c");
}

TEST_F(FolderTest, AppearsWhenItIsCommitted) {
  {
    const std::unique_ptr<AtomicFolder> folder = Filled();
    EXPECT_FALSE(IsFolder(Path("out")));
    ASSERT_TRUE(folder->Commit().ok());
    EXPECT_THAT(Names(Path("out")), ElementsAre("shard"));
  }
  EXPECT_THAT(Names(dir_), ElementsAre("out"));
}

TEST_F(FolderTest, LeavesNothingWithoutCommit) {
  Filled().reset();
  EXPECT_THAT(Names(dir_), IsEmpty());
}

TEST_F(FolderTest, TakesThePlaceOfAnEmptyFolder) {
  std::filesystem::create_directory(Path("out"));
  ASSERT_TRUE(Filled()->Commit().ok());
  EXPECT_THAT(Names(Path("out")), ElementsAre("shard"));
}

TEST_F(FolderTest, DoesNotTakeThePlaceOfFiles) {
  std::filesystem::create_directory(Path("out"));
  Put(Path("out/old"));
  EXPECT_EQ(AtomicFolder::Create(Path("out"), false, IsShard).status().code(),
            absl::StatusCode::kAlreadyExists);
  Put(Path("out/mine"));
  const absl::Status refused = AtomicFolder::Create(Path("out"), true, IsShard).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("also has mine"));
  EXPECT_EQ(AtomicFolder::Create(Path("out/mine"), true, IsShard).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AtomicFolder::Create(Path("no/out"), true, IsShard).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(Names(Path("out")), ElementsAre("mine", "old"));
}

TEST_F(FolderTest, FilesThatCameMeanwhileStay) {
  for (const bool overwrite : {false, true}) {
    const std::unique_ptr<AtomicFolder> folder = Filled(overwrite);
    std::filesystem::create_directory(Path("out"));
    Put(Path("out/mine"));
    EXPECT_EQ(folder->Commit().code(),
              overwrite ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kAlreadyExists);
    EXPECT_THAT(Names(Path("out")), ElementsAre("mine"));
    std::filesystem::remove_all(Path("out"));
  }
  EXPECT_THAT(Names(dir_), IsEmpty());
}

TEST_F(FolderTest, ReplacesAFolderOfSuchFilesWhenAskedTo) {
  std::filesystem::create_directory(Path("out"));
  Put(Path("out/old"));
  ASSERT_TRUE(Filled(true)->Commit().ok());
  EXPECT_THAT(Names(Path("out")), ElementsAre("shard"));
  EXPECT_THAT(Names(dir_), ElementsAre("out"));
}

TEST(ConcatenatedSource, EveryRangeIsReadOverItsParts) {
  std::vector<ConcatenatedSource::Part> parts;
  for (const char* text : {"ab", "", "cde", "f", ""}) {
    parts.push_back({text, std::make_unique<StringSource>(text)});
  }
  const ConcatenatedSource source(std::move(parts));
  const std::string all = "abcdef";
  ASSERT_EQ(source.size_bytes(), all.size());
  EXPECT_EQ(source.parts()[3].begin_bytes, 5u);
  for (size_t begin = 0; begin <= all.size(); ++begin) {
    for (size_t size = 0; begin + size <= all.size(); ++size) {
      std::string out(size, '\0');
      ASSERT_TRUE(source.ReadAt(begin, absl::MakeSpan(out.data(), size)).ok());
      EXPECT_EQ(out, all.substr(begin, size));
    }
  }
  std::string out(2, '\0');
  EXPECT_EQ(GetReason(source.ReadAt(5, absl::MakeSpan(out.data(), 2))), Reason::kTruncated);
}

}  // namespace
}  // namespace ballast
