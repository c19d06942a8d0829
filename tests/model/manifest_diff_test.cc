#include "storage/model/manifest_diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/base/crc32.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ManifestEntry Entry(const std::string& key, const std::string& bytes, DType dtype = DType::kUint8,
                    Shape shape = {}) {
  ManifestEntry entry;
  entry.spec.key = key;
  entry.spec.dtype = dtype;
  entry.spec.shape = shape.empty() ? Shape{bytes.size()} : std::move(shape);
  for (size_t at = 0; at < bytes.size(); at += kBlockBytes) {
    const std::string block = bytes.substr(at, kBlockBytes);
    entry.blocks.push_back({Sha256Of(block), Crc32(block)});
  }
  return entry;
}

Manifest Of(std::vector<ManifestEntry> entries) {
  Manifest manifest;
  manifest.entries = std::move(entries);
  return manifest;
}

// "renamed old>new", "added new" …
std::vector<std::string> Texts(const Manifest& from, const Manifest& to) {
  std::vector<std::string> out;
  for (const TensorChange& change : DiffManifests(from, to).changes) {
    out.push_back(absl::StrCat(ChangeKindName(change.kind), " ",
                               change.from ? from.entries[*change.from].spec.key : "", ">",
                               change.to ? to.entries[*change.to].spec.key : ""));
  }
  return out;
}

TEST(DiffManifests, EqualVersionsDifferInNothing) {
  const Manifest manifest = Of({Entry("b", "1"), Entry("a", "2")});
  EXPECT_THAT(Texts(manifest, manifest), IsEmpty());
  EXPECT_EQ(DiffManifests(manifest, manifest).unchanged, 2u);
  EXPECT_THAT(Texts(Of({}), Of({})), IsEmpty());
}

TEST(DiffManifests, EachKindOfChangeIsToldInTheOrderOfTheKeys) {
  const Manifest from = Of({Entry("same", "s"), Entry("gone", "g"), Entry("old.name", "n"),
                            Entry("shape", "1234", DType::kUint8, {4}),
                            Entry("dtype", "12", DType::kInt8), Entry("values", "v")});
  const Manifest to = Of({Entry("values", "w"), Entry("shape", "1234", DType::kUint8, {2, 2}),
                          Entry("dtype", "12", DType::kUint8), Entry("a.new.name", "n"),
                          Entry("new", "N"), Entry("same", "s")});
  EXPECT_THAT(Texts(from, to),
              ElementsAre("renamed old.name>a.new.name", "recast dtype>dtype", "removed gone>",
                          "added >new", "reshaped shape>shape", "changed values>values"));
  EXPECT_EQ(DiffManifests(from, to).unchanged, 1u);
}

TEST(DiffManifests, OrderKindsAndRolesAreNoDifference) {
  Manifest from = Of({Entry("a", "1"), Entry("b", "2")});
  Manifest to = Of({Entry("b", "2"), Entry("a", "1")});
  to.entries[0].spec.kind = Kind::kBuffer;
  to.entries[0].blocks[0].crc32 = 0;  // only the digest names a block
  EXPECT_THAT(Texts(from, to), IsEmpty());
}

TEST(DiffManifests, ARenamedTensorHasItsDTypeAndShapeToo) {
  const Manifest from = Of({Entry("a", "1234", DType::kUint8, {4})});
  EXPECT_THAT(Texts(from, Of({Entry("b", "1234", DType::kUint8, {2, 2})})),
              ElementsAre("removed a>", "added >b"));
  EXPECT_THAT(Texts(from, Of({Entry("b", "1234", DType::kInt8, {4})})),
              ElementsAre("removed a>", "added >b"));
}

TEST(DiffManifests, EqualTensorsArePairedInTheOrderOfTheirKeys) {
  const Manifest from = Of({Entry("l.2", "0"), Entry("l.1", "0"), Entry("l.10", "0")});
  Manifest to = Of({Entry("m.2", "0"), Entry("m.10", "0"), Entry("m.1", "0"), Entry("m.3", "0")});
  const std::vector<std::string> want = {"renamed l.1>m.1", "renamed l.10>m.10", "renamed l.2>m.2",
                                         "added >m.3"};
  do {
    EXPECT_EQ(Texts(from, to), want);
  } while (std::next_permutation(
      to.entries.begin(), to.entries.end(),
      [](const ManifestEntry& a, const ManifestEntry& b) { return a.spec.key < b.spec.key; }));
  EXPECT_THAT(Texts(to, from), ElementsAre("renamed m.1>l.1", "renamed m.10>l.10",
                                           "renamed m.2>l.2", "removed m.3>"));
}

TEST(DiffManifests, AKeyThatStaysIsNeverRenamed) {
  const Manifest from = Of({Entry("a", "x"), Entry("b", "y")});
  const Manifest to = Of({Entry("a", "y"), Entry("b", "x")});
  EXPECT_THAT(Texts(from, to), ElementsAre("changed a>a", "changed b>b"));
}

TEST(DiffManifests, EmptyTensorsAreTensors) {
  const Manifest from = Of({Entry("a", "", DType::kFloat32, {0, 3})});
  EXPECT_THAT(Texts(from, from), IsEmpty());
  EXPECT_THAT(Texts(from, Of({Entry("b", "", DType::kFloat32, {0, 3})})),
              ElementsAre("renamed a>b"));
  EXPECT_THAT(Texts(from, Of({Entry("a", "", DType::kFloat32, {3, 0})})),
              ElementsAre("reshaped a>a"));
}

TEST(DiffManifests, SharedBytesAreThoseOfCommonBlocksOnce) {
  const std::string big(kBlockBytes, 'b');
  const Manifest from = Of({Entry("a", big + "x"), Entry("b", "tied"), Entry("c", "tied")});
  const Manifest to = Of({Entry("a", big + "y"), Entry("d", big), Entry("e", "tied")});
  EXPECT_EQ(DiffManifests(from, to).shared_bytes, kBlockBytes + 4);
  EXPECT_EQ(DiffManifests(to, from).shared_bytes, kBlockBytes + 4);
}

}  // namespace
}  // namespace ballast
