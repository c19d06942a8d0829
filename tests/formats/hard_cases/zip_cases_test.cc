// Section B: the zip container of .pth files.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/formats/hard_cases/hard_case.h"
#include "tests/formats/pytorch/legacy_testing.h"
#include "tests/formats/pytorch/pickle_testing.h"
#include "tests/formats/pytorch/zip_testing.h"

namespace ballast {
namespace {

const char kW[] = "w float32 [4] 78787878787878787878787878787878";
const char kSignature[] = "PK\5\6";

std::string DataPkl() { return Pickled(DictOf({Str("w"), Floats()})); }

std::vector<ZipPart> Parts() {
  return {{.name = "a/data.pkl", .data = DataPkl()},
          {.name = "a/data/0", .data = std::string(16, 'x')},
          {.name = "a/version", .data = "3\n"}};
}

// A file of torch.save with something changed: parts 0, 1 and 2 are data.pkl, data/0
// and version.
template <typename Change>
std::string With(Change change, const ZipEnd& end = {}) {
  std::vector<ZipPart> parts = Parts();
  change(parts);
  return BuildZip(parts, end);
}

std::string Ended(const ZipEnd& end) { return BuildZip(Parts(), end); }

std::string WithRecord(const std::string& name, const std::string& data) {
  return With([&](std::vector<ZipPart>& parts) { parts.push_back({name, data}); });
}

std::string OnlyRecord(const std::string& name) { return BuildZip({{name, "x"}}); }

// All names begin with `folder` in place of "a/".
std::string InFolder(const std::string& folder, uint16_t flags = 0) {
  return With([&](std::vector<ZipPart>& parts) {
    for (ZipPart& part : parts) {
      part.name.replace(0, 2, folder);
      part.flags = flags;
    }
  });
}

std::string Patched(std::string file, size_t at, const std::string& bytes) {
  return file.replace(at, bytes.size(), bytes);
}

TEST(HardCases, ZipEnds) {
  const std::string full = With(
      [](std::vector<ZipPart>& parts) {
        for (ZipPart& part : parts) part.flags = 8;
      },
      {.zip64 = true});
  const auto cut = [&](const std::string& in, size_t more) {
    return full.substr(0, full.find(in) + more);
  };
  const std::string x16(16, 'x');
  const std::string inner_end = kSignature + std::string(18, '\0');
  const auto hidden = [](uint64_t comment) {
    return With([&](std::vector<ZipPart>& parts) {
      parts.push_back({"a/z", kSignature + std::string(16, '\0') + Le(comment, 2)});
    });
  };
  const std::string draft = hidden(0);
  RunHardCases({
      {"B1 nothing", "", Reason::kTruncated, "input is empty"},
      {"B1 three bytes", "PK\3", Reason::kTruncated, "an interrupted save or download?"},
      {"B2", inner_end, Reason::kMalformed, "archive has no records"},
      {"B3", full.substr(0, full.find("PK\1\2")), Reason::kTruncated,
       "no end of central directory at the end of the file, want a complete archive"},
      {"B4 in data/0", cut(x16, 5), Reason::kTruncated, "central directory"},
      {"B4 in the descriptor", cut(x16, 20), Reason::kTruncated, "central directory"},
      {"B4 in the directory", cut("PK\1\2", 20), Reason::kTruncated, "central directory"},
      {"B4 in the locator", cut("PK\6\7", 5), Reason::kTruncated, "central directory"},
      {"B4 in the end record", cut(kSignature, 10), Reason::kTruncated, "central directory"},
      {"B5", Ended({.after = "x"}), Reason::kMalformed, "followed by 1 bytes, want its comment"},
      {"B6", Ended({.comment = "made by hand"}), Reason::kNone, kW},
      {"B7", Ended({.comment_bytes_more = 9}), Reason::kMalformed, "want its comment of 9"},
      {"B8 in the comment", Ended({.comment = inner_end}), Reason::kUnsafe, "in its comment"},
      {"B8 with its own directory",
       Ended({.comment = DirectoryEntry(Parts()[0], 0) + kSignature + std::string(4, '\0') +
                         Le(1, 2) + Le(1, 2) + std::string(10, '\0')}),
       Reason::kUnsafe, "in its comment"},
      {"B8 in a record", hidden(draft.size() - draft.find(kSignature) - 22), Reason::kUnsafe,
       "has another at offset"},
      {"B8 by chance", draft, Reason::kNone, kW},
      {"B9 offsets moved",
       With([](std::vector<ZipPart>& parts) { parts[0].before = "#!/bin/sh\n"; }),
       Reason::kMalformed, "first record begins at offset 10, want 0"},
      {"B9 offsets kept", "#!/bin/sh\n" + Ended({}), Reason::kMalformed, "want it to end at"},
      {"B37 count", Ended({.zip64 = true, .count_more = 1}), Reason::kUnsafe, "disagree"},
      {"B37 offset", Ended({.zip64 = true, .offset_more = 1}), Reason::kUnsafe, "disagree"},
      {"B37 size", Ended({.zip64 = true, .size_more = 1}), Reason::kUnsafe, "disagree"},
      {"B38", Ended({.zip64 = true, .zip64_data = "vendor"}), Reason::kUnsupported,
       "62 bytes long, want 56 (no extensible data)"},
      {"B39 more", Ended({.count_more = 1}), Reason::kMalformed, "has 3 entries"},
      {"B39 less", Ended({.count_more = -1}), Reason::kMalformed, "has 2 entries"},
      {"B40 offset", Ended({.offset_more = 1 << 20}), Reason::kMalformed, "want it to end at"},
      {"B40 size", Ended({.size_more = 1 << 30}), Reason::kMalformed, "want it to end at"},
      {"B68", Ended({.disk = 1}), Reason::kUnsupported, "several disks"},
  });
}

TEST(HardCases, ZipRecordsThatDisagree) {
  const auto record = [](auto change) {
    return With([&](std::vector<ZipPart>& parts) { change(parts[1]); });
  };
  using Part = ZipPart;
  const std::string plain = Ended({});
  const size_t data0 = plain.find("a/data/0");  // behind its local header of 30 bytes
  RunHardCases({
      {"B10", record([](Part& p) { p.before = "junk"; }), Reason::kUnsafe,
       "record a/data.pkl: data is followed by 4 bytes that belong to no record"},
      {"B11 same offset", record([](Part& p) { p.offset = 0; }), Reason::kUnsafe, "overlaps"},
      {"B11 header in data",
       record([&](Part& p) { p.offset = static_cast<uint32_t>(data0 - 30 - 5); }), Reason::kUnsafe,
       "overlaps"},
      {"B12", With([](std::vector<Part>& parts) { parts[0].local_name = "a/other.pkl"; }),
       Reason::kUnsafe, "name in the local header is a/other.pkl, want the directory's"},
      {"B13", With([](std::vector<Part>& parts) { parts[0].local_name = "a/Data.pkl"; }),
       Reason::kUnsafe, "a/Data.pkl"},
      {"B14", record([](Part& p) {
         p.flags = 0x0800;
         p.local_flags = 0x0808;
       }),
       Reason::kMalformed, "flags of the local header are 2056 and those of the directory 2048"},
      {"B15 both", record([](Part& p) { p.flags = 1; }), Reason::kUnsupported, "encrypted"},
      {"B15 header", record([](Part& p) { p.local_flags = 1; }), Reason::kUnsupported, "encrypted"},
      {"B15 directory", record([](Part& p) {
         p.flags = 1;
         p.local_flags = 0;
       }),
       Reason::kUnsupported, "encrypted"},
      {"B16 patched", record([](Part& p) { p.flags = 1 << 5; }), Reason::kUnsupported, "patched"},
      {"B16 strong", record([](Part& p) { p.flags = 1 << 6; }), Reason::kUnsupported, "encrypted"},
      {"B16 masked", record([](Part& p) { p.flags = 1 << 13; }), Reason::kUnsupported, "encrypted"},
      {"B19", record([](Part& p) {
         p.stored = Deflate(p.data);
         p.method = 8;
         p.local_method = 0;
       }),
       Reason::kUnsafe, "method of the local header is 0, want the directory's 8"},
      {"B20", record([](Part& p) { p.stored_size = 15; }), Reason::kMalformed,
       "stored record is 15 bytes long, want 16"},
      {"B25 storage", record([](Part& p) { p.crc = 7; }), Reason::kChecksum, "data/0"},
      {"B25 data.pkl", With([](std::vector<Part>& parts) { parts[0].crc = 7; }), Reason::kChecksum,
       "record \"data.pkl\": CRC-32 is"},
      {"B26", record([](Part& p) { p.crc = 0; }), Reason::kNone, "written without CRC"},
      {"B27", record([](Part& p) {
         p.flags = 8;
         p.descriptor_crc = 7;
       }),
       Reason::kChecksum, "CRC in the data descriptor disagrees"},
      {"B28", record([](Part& p) {
         p.flags = 8;
         p.descriptor_bytes = 0;
       }),
       Reason::kMalformed, "followed by 0 bytes, want a data descriptor"},
      {"B29", record([](Part& p) {
         p.flags = 8;
         p.descriptor_bytes = 12;
       }),
       Reason::kNone, kW},
      {"B32", record([](Part& p) {
         p.flags = 8;
         p.local_size = 16;
       }),
       Reason::kNone, kW},
      {"B33", record([](Part& p) { p.local_size = 15; }), Reason::kUnsafe,
       "sizes in the local header disagree"},
      {"B35", record([](Part& p) { p.size = 0xFFFFFFFF; }), Reason::kMalformed, "zip64"},
      {"B36", record([](Part& p) { p.extra = Extra(1, Le(16, 8) + Le(16, 8)); }), Reason::kNone,
       kW},
      {"B41 behind the end", record([](Part& p) { p.offset = 1 << 20; }), Reason::kMalformed,
       "local header at offset 1048576, want it before the directory"},
      {"B41 in the directory",
       record([&](Part& p) { p.offset = static_cast<uint32_t>(plain.find("PK\1\2") + 1); }),
       Reason::kMalformed, "want it before the directory"},
      {"B42 header", Patched(plain, data0 - 2, Le(0xFFFF, 2)), Reason::kMalformed,
       "extra field of the local header is 65535 bytes long and runs over"},
      {"B42 block", record([](Part& p) { p.local_extra = "FB" + Le(60, 2) + "ZZ"; }),
       Reason::kMalformed, "extra field runs over its end"},
      {"B42 directory", record([](Part& p) { p.extra = "FB" + Le(60, 2) + "ZZ"; }),
       Reason::kMalformed, "extra field runs over its end"},
      {"B43", record([](Part& p) {
         p.local_extra = Extra(0x5455, "abcde") + Extra(0xD935, "aa");
         p.extra = Extra(0x7875, "abc");
       }),
       Reason::kNone, kW},
      {"B44", record([](Part& p) { p.local_extra = Extra(0x4246, "Z"); }), Reason::kNone, kW},
  });
}

TEST(HardCases, ZipCompression) {
  const auto packed = [](size_t part, auto change) {
    return With([&](std::vector<ZipPart>& parts) {
      parts[part].method = 8;
      parts[part].stored = Deflate(parts[part].data);
      change(parts[part]);
    });
  };
  const auto as_it_is = [](ZipPart&) {};
  const auto other = [](const std::string& data) {  // inflates to `data`, says 16 bytes
    return [data](ZipPart& part) { part.stored = Deflate(data); };
  };
  const auto method = [](uint16_t number) {
    return With([=](std::vector<ZipPart>& parts) {
      parts[1].method = number;
      parts[1].stored = parts[1].data;
    });
  };
  const std::string zeros(2 << 20, '\0');
  const std::string bomb =
      BuildZip({{.name = "a/data.pkl",
                 .data = Pickled(V2{.storage = StoragePid("FloatStorage", "0", 1 << 19)}.Call())},
                {.name = "a/data/0", .data = zeros, .stored = Deflate(zeros), .method = 8}});
  Limits limits;
  limits.materialized_bytes_max = 1 << 20;
  RunHardCases({
      {"B17 storage", packed(1, as_it_is), Reason::kNone, kW},
      {"B17 data.pkl", packed(0, as_it_is), Reason::kNone, kW},
      {"B18 deflate64", method(9), Reason::kUnsupported, "method is 9, want 0 or 8"},
      {"B18 bzip2", method(12), Reason::kUnsupported, "method is 12"},
      {"B18 lzma", method(14), Reason::kUnsupported, "method is 14"},
      {"B18 zstd", method(93), Reason::kUnsupported, "method is 93"},
      {"B18 xz", method(95), Reason::kUnsupported, "method is 95"},
      {"B21 storage", packed(1, other(std::string(17, 'x'))), Reason::kMalformed,
       "yields more than the 16 bytes that are stated"},
      {"B21 data.pkl", packed(0, other(DataPkl() + "x")), Reason::kMalformed, "deflate stream"},
      {"B22 storage", packed(1, other(std::string(15, 'x'))), Reason::kMalformed,
       "yields 15 bytes, want 16"},
      {"B22 data.pkl", packed(0, other("x")), Reason::kMalformed, "deflate stream"},
      {"B23 storage", packed(1, [](ZipPart& part) { part.stored += "garbage"; }),
       Reason::kMalformed, "ends after"},
      {"B23 data.pkl", packed(0, [](ZipPart& part) { part.stored += "garbage"; }),
       Reason::kMalformed, "deflate stream"},
      {"B24", bomb, Reason::kLimit, "materialized_bytes_max", limits},
      {"B24 ratio",
       packed(1,
              [](ZipPart& part) {
                part.stored = "x";
                part.data = std::string(5000, 'x');
              }),
       Reason::kMalformed, "more than 1 bytes can inflate to"},
  });
}

// A storage of more than 4 GiB in front of data.pkl, as torch's C++ writer does it.
SparseFile BigZip(int big_descriptor, int small_descriptor = 24) {
  constexpr uint64_t kSize = (uint64_t{1} << 32) + 16;
  const std::string pickle = Pickled(
      DictOf({Str("w"),
              V2{.storage = StoragePid("ByteStorage", "0", static_cast<int64_t>(kSize))}.Call()}));
  ZipPart big{.name = "a/data/0",
              .data = "",
              .flags = 8,
              .descriptor_bytes = 0,
              .local_extra = Extra(1, Le(kSize, 8) + Le(0, 8))};
  SparseFile file;
  file.Bytes(LocalRecord(big)).Zeros(kSize);
  const size_t width = big_descriptor == 24 ? 8 : 4;
  file.Bytes(absl::StrCat("PK\7\10", Le(0, 4), Le(kSize, width), Le(kSize, width)));
  const uint64_t offset = file.size_bytes();
  ZipPart small{.name = "a/data.pkl",
                .data = pickle,
                .flags = 8,
                .descriptor_bytes = small_descriptor,
                .offset = 0xFFFFFFFF,
                .local_extra = Extra(1, Le(offset, 8)),
                .extra = Extra(1, Le(offset, 8))};
  file.Bytes(LocalRecord(small));
  const uint64_t directory = file.size_bytes();
  big.size = 0xFFFFFFFF;
  big.extra = Extra(1, Le(kSize, 8) + Le(kSize, 8));
  const std::string entries = DirectoryEntry(big, 0) + DirectoryEntry(small, 0);
  const uint64_t ends = directory + entries.size();
  file.Bytes(absl::StrCat(entries, "PK\6\6", Le(44, 8), Le(0x031E, 2), Le(45, 2), Le(0, 8),
                          Le(2, 8), Le(2, 8), Le(entries.size(), 8), Le(directory, 8)));
  file.Bytes(absl::StrCat("PK\6\7", Le(0, 4), Le(ends, 8), Le(1, 4), kSignature, Le(0, 4), Le(2, 2),
                          Le(2, 2), Le(entries.size(), 4), Le(0xFFFFFFFF, 4), Le(0, 2)));
  return file;
}

TEST(HardCases, ZipBeyondFourGiB) {
  RunHardCases({
      {"B30", BigZip(24), Reason::kNone, "w uint8 [4]"},
      {"B30 narrow", BigZip(24, 16), Reason::kNone, "w uint8 [4]"},
      {"B31", BigZip(16), Reason::kMalformed, "data descriptor is 16 bytes long, want 24"},
      {"B34", BigZip(24), Reason::kNone, "4294967312 bytes stored, 4 used"},
      {"C58", BigZip(24), Reason::kNone, "4294967312 bytes stored, 4 used"},
  });
}

TEST(HardCases, ZipNames) {
  const std::string zeros("a/data.pkl\0.txt", 15);
  RunHardCases({
      {"B45 parent", WithRecord("a/../../etc/passwd", "x"), Reason::kUnsafe, "\"..\" part"},
      {"B45 absolute", WithRecord("/x", "x"), Reason::kUnsafe, "absolute path"},
      {"B45 drive", WithRecord("C:/x", "x"), Reason::kUnsafe, "absolute path"},
      {"B45 backslash", WithRecord("a\\x", "x"), Reason::kUnsafe, "backslash"},
      {"B46", With([](std::vector<ZipPart>& parts) {
         parts.insert(parts.begin(), {.name = "a/", .data = ""});
       }),
       Reason::kNone, kW},
      {"B47", InFolder(""), Reason::kMalformed, "zip the folder, not its content"},
      {"B48", WithRecord("b/data.pkl", DataPkl()), Reason::kMalformed,
       "record b/data.pkl is not in folder a/, want all records in one folder"},
      {"B49 spaces", InFolder("my best model/"), Reason::kNone, kW},
      {"B49 Unicode", InFolder("größe/", 0x0800), Reason::kNone, kW},
      {"B49 long", InFolder(std::string(128, 'm') + "/"), Reason::kNone, kW},
      {"B50", WithRecord("a/data.pkl", DataPkl()), Reason::kUnsafe, "stands twice"},
      {"B51", WithRecord("a/DATA.PKL", DataPkl()), Reason::kUnsafe, "differ by more than case"},
      {"B52", WithRecord(zeros, "x"), Reason::kUnsafe, "control character"},
      {"B53 not UTF-8", WithRecord("a/\xff", "x"), Reason::kMalformed, "not valid UTF-8"},
      {"B53 flag", WithRecord("a/größe", "x"), Reason::kMalformed, "not ASCII, want flag 11"},
      {"B53 folder", InFolder("größe/"), Reason::kNone, kW},
      {"B54 empty", WithRecord("", "x"), Reason::kMalformed, "0 bytes long"},
      {"B54 long", WithRecord("a/" + std::string(65533, 'x'), "x"), Reason::kMalformed,
       "65535 bytes long"},
  });
}

TEST(HardCases, ZipKinds) {
  RunHardCases({
      {"B55 Keras", OnlyRecord("model.weights.h5"), Reason::kWrongFormat, "Keras"},
      {"B55 NumPy", OnlyRecord("arr_0.npy"), Reason::kWrongFormat, "NumPy archive (.npz)"},
      {"B55 mar", OnlyRecord("MAR-INF/MANIFEST.json"), Reason::kWrongFormat, "TorchServe"},
      {"B55 pt2", OnlyRecord("a/archive_format"), Reason::kWrongFormat, "torch.export"},
      {"B55 package", OnlyRecord("a/.data/extern_modules"), Reason::kWrongFormat, "torch.package"},
      {"B55 plain", OnlyRecord("readme.txt"), Reason::kWrongFormat, "without data.pkl"},
      {"B75", OnlyRecord("model.pth"), Reason::kWrongFormat, "a checkpoint in it; unpack it first"},
      {"B75 in a folder", OnlyRecord("files/model.pth"), Reason::kWrongFormat, "unpack it first"},
      {"B69", With([](std::vector<ZipPart>& parts) { parts[0].before = LegacyParts().File(); }),
       Reason::kUnsafe, "a zip archive follows the last storage at byte"},
      {"B70", With([](std::vector<ZipPart>& parts) {
         parts.insert(parts.begin(), {.name = "a/dummy", .data = "x"});
       }),
       Reason::kNone, kW},
  });
}

TEST(HardCases, ZipSmallRecords) {
  const auto version = [](const std::string& text) {
    return With([&](std::vector<ZipPart>& parts) { parts[2].data = text; });
  };
  const auto record = [](const std::string& name, const std::string& data) {
    return WithRecord("a/" + name, data);
  };
  const std::string no_version = With([](std::vector<ZipPart>& parts) { parts.resize(2); });
  const char kSwapped[] = "w float32 [4] 34333231383736353231303936353433";
  const std::string big = With([](std::vector<ZipPart>& parts) {
    parts[1].data = "1234567890123456";
    parts.push_back({"a/byteorder", "big"});
  });
  const std::string big_complex = BuildZip(
      {{.name = "a/data.pkl",
        .data = Pickled(
            V2{.storage = StoragePid("ComplexFloatStorage", "0", 1), .size = NumsOf({1})}.Call())},
       {.name = "a/data/0", .data = "12345678"},
       {.name = "a/byteorder", .data = "big"}});
  RunHardCases({
      {"B56", no_version, Reason::kNone, "warning: there is no record version"},
      {"B57 0", version("0"), Reason::kUnsupported, "version is 0, want 1 to 10"},
      {"B57 11", version("11"), Reason::kUnsupported, "version is 11, want 1 to 10"},
      {"B57 abc", version("abc"), Reason::kMalformed, "version is abc, want a number"},
      {"B57 long", version(std::string(10 << 20, '3')), Reason::kLimit, "record a/version"},
      {"B58", version("3\r\n"), Reason::kNone, kW},
      {"B59", big, Reason::kNone, kSwapped},
      {"B59 complex", big_complex, Reason::kNone, "complex64 [1] 3433323138373635"},
      {"B60 middle", record("byteorder", "middle"), Reason::kMalformed, "byteorder is middle"},
      {"B60 newline", record("byteorder", "little\n"), Reason::kMalformed, "want little or big"},
      {"B60 empty", record("byteorder", ""), Reason::kMalformed, "want little or big"},
      {"B61", Ended({}), Reason::kNone, kW},
      {"B62 0", record(".storage_alignment", "0"), Reason::kNone, kW},
      {"B62 -1", record(".storage_alignment", "-1"), Reason::kNone, kW},
      {"B62 4096", record(".storage_alignment", "4096"), Reason::kNone, kW},
      {"B62 abc", record(".storage_alignment", "abc"), Reason::kMalformed,
       "record .storage_alignment is abc, want a number"},
      {"B63 2", record(".format_version", "2"), Reason::kNone, kW},
      {"B63 99", record(".format_version", "99"), Reason::kNone, kW},
      {"B64", record("extra/readme.txt", "x"), Reason::kNone, kW},
      {"B65", record("constants.pkl", Pickled(")")), Reason::kUnsafe, "want a TorchScript object"},
  });
}

TEST(HardCases, ZipStorages) {
  const auto storage = [](const std::string& data) {
    return With([&](std::vector<ZipPart>& parts) { parts[1].data = data; });
  };
  RunHardCases({
      {"B71", storage(std::string(20, 'x')), Reason::kMalformed,
       "tensor \"w\": record data/0 is 20 bytes long, want 16 as the pickle says"},
      {"B72", storage(std::string(12, 'x')), Reason::kMalformed, "12 bytes long, want 16"},
      {"B73", With([](std::vector<ZipPart>& parts) { parts.erase(parts.begin() + 1); }),
       Reason::kMalformed, "tensor \"w\": record data/0 is missing"},
      {"B74", WithRecord("a/data/7", "orphan"), Reason::kNone,
       "1 records belong to no entry, the first is data/7"},
  });
}

TEST(HardCases, ZipManyRecords) {
  std::vector<ZipPart> parts = Parts();
  while (parts.size() < 70000) parts.push_back({absl::StrCat("a/x/", parts.size()), ""});
  constexpr uint64_t kMany = 10'000'000;
  SparseFile claims;
  claims.Bytes(LocalRecord(Parts()[0]));
  const uint64_t directory = claims.size_bytes();
  claims.Zeros(46 * kMany);
  const uint64_t ends = claims.size_bytes();
  claims.Bytes(absl::StrCat("PK\6\6", Le(44, 8), Le(0x031E, 2), Le(45, 2), Le(0, 8), Le(kMany, 8),
                            Le(kMany, 8), Le(46 * kMany, 8), Le(directory, 8)));
  claims.Bytes(absl::StrCat("PK\6\7", Le(0, 4), Le(ends, 8), Le(1, 4), kSignature, Le(0, 4),
                            Le(0xFFFF, 2), Le(0xFFFF, 2), Le(46 * kMany, 4), Le(directory, 4),
                            Le(0, 2)));
  RunHardCases({
      {"B66", BuildZip(parts, {.zip64 = true, .count_more = 0xFFFF - 70000}), Reason::kNone, kW},
      {"B67", claims, Reason::kLimit, "10000000 records, want at most 2097152 (zip_records_max)"},
  });
}

}  // namespace
}  // namespace ballast
