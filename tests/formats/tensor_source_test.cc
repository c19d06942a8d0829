#include "storage/formats/tensor_source.h"

#include <zlib.h>

#include "storage/base/crc32.h"
#include "storage/formats/buffer_pool.h"
#include "storage/formats/transform.h"
#include "tests/formats/formats_testing.h"

namespace ballast {
namespace {

std::string Deflated(const std::string& bytes) {
  z_stream z{};
  deflateInit2(&z, 1, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, bytes.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(&out[0]);
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::string Bytes(size_t n, uint32_t state = 1) {
  std::string out(n, '\0');
  for (char& c : out) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 26);
  }
  return out;
}

// Counts the bytes that are read from it.
class CountingSource : public ByteSource {
 public:
  explicit CountingSource(std::string bytes) : source_(std::move(bytes)) {}
  uint64_t size_bytes() const override { return source_.size_bytes(); }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> out) const override {
    read_ += out.size();
    return source_.ReadAt(offset, out);
  }
  uint64_t TakeCount() { return std::exchange(read_, 0); }

 private:
  StringSource source_;
  mutable uint64_t read_ = 0;
};

// A file that is storages one after the other, and entries on them.
struct File {
  std::string bytes;
  SourceStateDict dict;

  uint32_t AddStorage(const std::string& content, bool deflate = false) {
    const std::string stored = deflate ? Deflated(content) : content;
    SourceStorage& storage = dict.storages.emplace_back();
    storage.name = absl::StrCat("data/", dict.storages.size() - 1);
    storage.offset_bytes = bytes.size();
    storage.stored_bytes = stored.size();
    storage.size_bytes = content.size();
    storage.crc32 = Crc32(content);
    if (deflate) storage.encoding = SourceStorage::Encoding::kDeflate;
    bytes += stored;
    return static_cast<uint32_t>(dict.storages.size() - 1);
  }
  SourceEntry& AddEntry(uint32_t storage, DType dtype, Shape shape, uint64_t offset_bytes = 0) {
    SourceEntry& entry = dict.entries.emplace_back();
    entry.spec.key = absl::StrCat("e", dict.entries.size() - 1);
    entry.spec.dtype = dtype;
    entry.spec.shape = std::move(shape);
    entry.storage = storage;
    entry.offset_bytes = offset_bytes;
    return entry;
  }
  std::unique_ptr<FileTensorSource> Open(const ByteSource* source, const Limits& limits = {}) {
    return MakeFileTensorSource(source, &dict, ::testing::TempDir(), limits);
  }
  absl::StatusOr<std::string> Read(uint32_t entry, uint64_t step = UINT64_MAX) {
    StringSource source(bytes);
    return ReadEntry(Open(&source).get(), entry, CheckedTensorBytes(dict.entries[entry].spec),
                     step);
  }
};

TEST(TensorSource, NeverCrossesABlock) {
  File file;
  const std::string content = Bytes(3 * kBlockBytes + 100);
  file.AddEntry(file.AddStorage(content), DType::kInt8, {content.size()});
  StringSource bytes(file.bytes);
  auto source = file.Open(&bytes);
  for (const uint64_t offset : {uint64_t{0}, kBlockBytes - 1, kBlockBytes, 2 * kBlockBytes + 5}) {
    const auto chunk = source->Read(0, offset, UINT64_MAX);
    ASSERT_TRUE(chunk.ok());
    EXPECT_EQ(chunk->bytes.size(), kBlockBytes - offset % kBlockBytes);
    EXPECT_EQ(chunk->bytes, absl::string_view(content).substr(offset, chunk->bytes.size()));
  }
  EXPECT_EQ(source->Read(0, 3 * kBlockBytes, UINT64_MAX)->bytes.size(), 100u);
  EXPECT_EQ(source->Read(0, 7, 3)->bytes, content.substr(7, 3));
  EXPECT_EQ(source->Read(0, content.size(), 1).status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(source->Read(1, 0, 1).status().code(), absl::StatusCode::kInternal);
}

TEST(TensorSource, ChunksStayValidWhileTheyAreHeld) {
  File file;
  const std::string content = Bytes(4 * kBlockBytes);
  file.AddEntry(file.AddStorage(content), DType::kInt8, {content.size()});
  StringSource bytes(file.bytes);
  std::vector<Chunk> chunks;
  {
    auto source = file.Open(&bytes);
    for (uint64_t i = 0; i < 4; ++i)
      chunks.push_back(*source->Read(0, i * kBlockBytes, kBlockBytes));
  }
  for (uint64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(chunks[i].bytes, content.substr(i * kBlockBytes, kBlockBytes));
  }
}

TEST(TensorSource, InflatesSmallAndBigStorages) {
  File file;
  const std::string small = Bytes(5000);
  const std::string big = Bytes(17 << 20, 2);
  const uint32_t small_storage = file.AddStorage(small, true);
  const uint32_t big_storage = file.AddStorage(big, true);
  file.AddEntry(small_storage, DType::kInt8, {5000});
  file.AddEntry(big_storage, DType::kInt8, {big.size() - 9}, 9);
  file.AddEntry(small_storage, DType::kInt8, {10}, 4990);
  EXPECT_EQ(*file.Read(0), small);
  EXPECT_EQ(*file.Read(1), big.substr(9));
  EXPECT_EQ(*file.Read(2), small.substr(4990));
}

TEST(TensorSource, InflatesEachStorageOncePerPass) {
  File file;
  const std::string content = Bytes(50'000);
  const uint32_t storages[] = {file.AddStorage(content, true), file.AddStorage(content, true)};
  for (uint64_t i = 0; i < 500; ++i) {
    for (const uint32_t storage : storages) file.AddEntry(storage, DType::kInt8, {100}, i * 100);
  }
  CountingSource bytes(file.bytes);
  auto source = file.Open(&bytes);
  for (int pass = 0; pass < 2; ++pass) {
    for (uint32_t i = 0; i < file.dict.entries.size(); ++i) {
      EXPECT_EQ(source->Read(i, 0, 100)->bytes, content.substr(i / 2 * 100, 100));
    }
    EXPECT_EQ(bytes.TakeCount(), file.bytes.size());
  }
  EXPECT_TRUE(source->VerifyRest().ok());
  EXPECT_EQ(bytes.TakeCount(), 0u);
}

TEST(TensorSource, RefusesBrokenDeflateStreams) {
  for (const size_t size : {size_t{1000}, size_t{17} << 20}) {  // in memory, in a file
    const struct {
      const char* part;
      Reason reason;
      void (*damage)(File*);
    } cases[] = {
        {"yields more than", Reason::kMalformed,
         [](File* f) { f->dict.storages[0].size_bytes -= 1; }},
        {"yields", Reason::kMalformed, [](File* f) { f->dict.storages[0].size_bytes += 1; }},
        {"cut off", Reason::kMalformed, [](File* f) { f->dict.storages[0].stored_bytes -= 1; }},
        {"ends after", Reason::kMalformed,
         [](File* f) {
           f->bytes += 'x';
           f->dict.storages[0].stored_bytes += 1;
         }},
        {"CRC-32 is", Reason::kChecksum, [](File* f) { *f->dict.storages[0].crc32 ^= 1; }},
    };
    for (const auto& c : cases) {
      File file;
      file.AddEntry(file.AddStorage(Bytes(size), true), DType::kInt8, {100});
      c.damage(&file);
      EXPECT_TRUE(FailsWith(file.Read(0).status(), c.reason, c.part)) << size;
      EXPECT_TRUE(FailsWith(file.Read(0).status(), c.reason, "record \"data/0\"")) << size;
      StringSource bytes(file.bytes);
      EXPECT_TRUE(
          FailsWith(VerifyStorages(bytes, file.dict, Limits()), c.reason, "record \"data/0\""));
    }
  }
}

TEST(TensorSource, BoundsTheTemporaryFile) {
  File file;
  file.AddEntry(file.AddStorage(Bytes(17 << 20), true), DType::kInt8, {100});
  Limits limits;
  limits.spool_bytes_max = 1 << 20;
  StringSource bytes(file.bytes);
  const auto chunk = file.Open(&bytes, limits)->Read(0, 0, 1);
  EXPECT_EQ(chunk.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(TensorSource, ChecksTheCrcOfWhatIsReadInOrder) {
  File file;
  const std::string content = Bytes(2 * kBlockBytes + 10);
  file.AddEntry(file.AddStorage(content), DType::kInt8, {content.size()});
  CountingSource good(file.bytes);
  auto source = file.Open(&good);
  ASSERT_TRUE(ReadEntry(source.get(), 0, content.size()).ok());
  good.TakeCount();
  EXPECT_TRUE(source->VerifyRest().ok());
  EXPECT_EQ(good.TakeCount(), 0u) << "what was read in order is not read again";

  file.bytes[5] = static_cast<char>(file.bytes[5] ^ 1);
  const auto read = file.Read(0);
  EXPECT_TRUE(FailsWith(read.status(), Reason::kChecksum, "\"e0\": record \"data/0\": CRC-32 is"));
}

TEST(TensorSource, VerifyRestReadsOnlyWhatTheEntriesDidNotCover) {
  File file;
  const std::string content = Bytes(10'000);
  const uint32_t half = file.AddStorage(content);
  file.AddEntry(half, DType::kInt8, {6000});
  const uint32_t views = file.AddStorage(content);
  file.AddEntry(views, DType::kInt8, {10}, 500);
  file.AddEntry(views, DType::kInt8, {10}, 100);
  const uint32_t whole = file.AddStorage(content);
  file.AddEntry(whole, DType::kInt8, {10'000});
  file.AddEntry(whole, DType::kInt8, {10'000});
  file.AddStorage(content);  // that nobody refers to
  for (const bool damaged : {false, true}) {
    CountingSource bytes(file.bytes);
    auto source = file.Open(&bytes);
    for (uint32_t i = 0; i < file.dict.entries.size(); ++i) {
      ASSERT_TRUE(ReadEntry(source.get(), i, CheckedTensorBytes(file.dict.entries[i].spec)).ok());
    }
    bytes.TakeCount();
    const absl::Status rest = source->VerifyRest();
    if (damaged) {
      EXPECT_TRUE(FailsWith(rest, Reason::kChecksum, "record \"data/3\""));
    } else {
      EXPECT_TRUE(rest.ok()) << rest;
      EXPECT_EQ(bytes.TakeCount(), 4000u + 10'000u + 10'000u);
    }
    file.bytes.back() = static_cast<char>(file.bytes.back() ^ 1);
  }
}

TEST(TensorSource, RefusesBoolBytesOtherThanZeroAndOne) {
  File file;
  file.AddEntry(file.AddStorage(Hex("00 01 02 01")), DType::kBool, {4});
  file.AddEntry(0, DType::kBool, {2, 2}).strides = {1, 2};
  for (const uint32_t entry : {0u, 1u}) {
    EXPECT_TRUE(FailsWith(file.Read(entry).status(), Reason::kMalformed, "bool tensor is 2"));
  }
}

TEST(TensorSource, SwapsBigEndianComponents) {
  for (const DTypeInfo& info : AllDTypes()) {
    if (info.bits % 8 != 0 || info.dtype == DType::kBool) continue;
    const uint64_t width = info.bits / 8;
    File file;
    const std::string content = Bytes(3 * width);
    file.AddEntry(file.AddStorage(content), info.dtype, {3});
    file.dict.storages[0].big_endian = true;
    std::string want = content;
    for (size_t i = 0; i < want.size(); i += info.swap_bytes) {
      std::reverse(want.begin() + i, want.begin() + i + info.swap_bytes);
    }
    EXPECT_EQ(*file.Read(0), want) << info.name;
    EXPECT_EQ(*file.Read(0, 1), want) << info.name;
  }
}

TEST(TensorSource, AppliesConjugateAndNegativeBits) {
  File file;
  // 1+2i, NaN payload -0i; both parts f32.
  const uint32_t storage = file.AddStorage(Hex("0000803f 00000040 0100a07f 00000080"));
  file.AddEntry(storage, DType::kComplex64, {2}).conjugate = true;
  file.AddEntry(storage, DType::kFloat32, {4}).negative = true;
  SourceEntry& both = file.AddEntry(storage, DType::kComplex64, {2});
  both.conjugate = both.negative = true;
  file.AddEntry(storage, DType::kInt32, {1}).negative = true;
  file.AddEntry(storage, DType::kFloat32, {4}).conjugate = true;
  EXPECT_EQ(*file.Read(0), Hex("0000803f 000000c0 0100a07f 00000000"));
  EXPECT_EQ(*file.Read(1), Hex("000080bf 000000c0 0100a0ff 00000000"));
  EXPECT_EQ(*file.Read(2), Hex("000080bf 00000040 0100a0ff 00000080"));
  EXPECT_EQ(*file.Read(3), Hex("000080c0"));
  EXPECT_EQ(*file.Read(4), file.bytes);
}

TEST(TensorSource, GathersSwapsAndInflatesAtOnce) {
  File file;
  const std::string content = Bytes(6 * 4);
  file.AddEntry(file.AddStorage(content, true), DType::kFloat32, {2, 3}).strides = {1, 2};
  file.dict.storages[0].big_endian = true;
  std::string want;
  for (const size_t i : {0, 2, 4, 1, 3, 5}) {
    const std::string element = content.substr(4 * i, 4);
    want.append(element.rbegin(), element.rend());
  }
  EXPECT_EQ(*file.Read(0), want);
  EXPECT_EQ(*file.Read(0, 3), want);
}

TEST(TensorSource, ReadsAStridedEntryFromAnyOffset) {
  File file;
  const uint64_t rows = 700;
  const uint64_t columns = 900;
  const std::string content = Bytes(rows * columns * 4);
  file.AddEntry(file.AddStorage(content), DType::kFloat32, {rows, columns}).strides = {1, rows};
  const std::string all = *file.Read(0);
  EXPECT_EQ(all.substr(4, 4), content.substr(rows * 4, 4));
  StringSource bytes(file.bytes);
  auto source = file.Open(&bytes);
  for (const uint64_t offset : {uint64_t{2'000'000}, uint64_t{1}, all.size() - 1, kBlockBytes}) {
    const auto chunk = source->Read(0, offset, 1000);
    ASSERT_TRUE(chunk.ok());
    EXPECT_EQ(chunk->bytes, absl::string_view(all).substr(offset, chunk->bytes.size()));
  }
}

TEST(TensorSource, KnowsRawRanges) {
  File file;
  file.AddStorage("pad");
  const uint32_t raw = file.AddStorage(Bytes(100));
  const uint32_t deflated = file.AddStorage(Bytes(100), true);
  const uint32_t swapped = file.AddStorage(Bytes(100));
  file.dict.storages[swapped].big_endian = true;
  file.AddEntry(raw, DType::kInt32, {2}, 8);
  file.AddEntry(raw, DType::kInt32, {2, 2}).strides = {1, 2};
  file.AddEntry(raw, DType::kBool, {2});
  file.AddEntry(deflated, DType::kInt32, {2});
  file.AddEntry(swapped, DType::kInt32, {2});
  file.AddEntry(swapped, DType::kInt8, {2});
  file.AddEntry(raw, DType::kInt32, {2, 1}).strides = {1, 77};
  StringSource bytes(file.bytes);
  auto source = file.Open(&bytes);
  uint64_t offset = 0;
  EXPECT_TRUE(source->RawRange(0, &offset));
  EXPECT_EQ(offset, 11u);
  for (const uint32_t entry : {1u, 2u, 3u, 4u, 99u}) {
    EXPECT_FALSE(source->RawRange(entry, &offset)) << entry;
  }
  EXPECT_TRUE(source->RawRange(5, &offset));
  EXPECT_TRUE(source->RawRange(6, &offset));
}

TEST(VerifyStorages, FindsADamagedStorage) {
  File file;
  file.AddStorage(Bytes(3 << 20));
  file.AddStorage(Bytes(100), true);
  file.AddStorage("");
  StringSource good(file.bytes);
  EXPECT_TRUE(VerifyStorages(good, file.dict, Limits()).ok());
  file.bytes[2 << 20] = static_cast<char>(file.bytes[2 << 20] ^ 4);
  StringSource bad(file.bytes);
  EXPECT_TRUE(FailsWith(VerifyStorages(bad, file.dict, Limits()), Reason::kChecksum,
                        "record \"data/0\": CRC-32 is"));
  file.dict.storages[0].crc32.reset();
  EXPECT_TRUE(VerifyStorages(bad, file.dict, Limits()).ok());
  file.dict.storages[2].crc32 = 1;
  EXPECT_TRUE(FailsWith(VerifyStorages(bad, file.dict, Limits()), Reason::kChecksum, "data/2"));
}

TEST(BufferPool, GivesBuffersAgain) {
  BufferPool pool(1 << 20);
  const char* first = nullptr;
  {
    const PooledBuffer buffer = pool.Get(100'000);
    EXPECT_EQ(buffer.bytes.size(), 100'000u);
    first = buffer.bytes.data();
    EXPECT_NE(pool.Get(100'000).bytes.data(), first);
  }
  const PooledBuffer a = pool.Get(70'000);
  const PooledBuffer b = pool.Get(131'072);
  EXPECT_TRUE(a.bytes.data() == first || b.bytes.data() == first);
}

TEST(BufferPool, BuffersOutliveThePool) {
  PooledBuffer buffer;
  {
    BufferPool pool(1 << 20);
    buffer = pool.Get(50'000);
  }
  std::fill(buffer.bytes.begin(), buffer.bytes.end(), 'x');
  EXPECT_EQ(buffer.bytes[49'999], 'x');
}

}  // namespace
}  // namespace ballast
