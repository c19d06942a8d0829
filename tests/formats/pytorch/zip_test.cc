// What a zip archive must look like: every way to be wrong, and the ways to be right.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/crc32.h"
#include "storage/formats/zip_reader.h"
#include "tests/formats/formats_testing.h"
#include "tests/formats/pytorch/zip_testing.h"

namespace ballast {
namespace {

// Opens the archive and reads every record.
absl::Status Open(const std::string& bytes, const Limits& limits = Limits(),
                  std::vector<std::string>* contents = nullptr) {
  StringSource source(bytes);
  ASSIGN_OR_RETURN(const ZipReader zip, ZipReader::Open(source, limits));
  for (const ZipRecord& record : zip.records()) {
    ASSIGN_OR_RETURN(const std::string content, zip.Read(record, 1 << 20));
    if (contents != nullptr) contents->push_back(record.name + "=" + content);
  }
  return absl::OkStatus();
}

const ZipPart kFirst{"a/x", "hello"};

struct Good {
  std::string name;
  std::vector<ZipPart> parts;
  ZipEnd end = {};
};

TEST(ZipReader, AcceptsWhatAgrees) {
  const std::string data = "deflated deflated deflated";
  const std::vector<Good> table = {
      {"plain", {kFirst, {.name = "a/y", .data = ""}}},
      {"zip64 ends", {kFirst}, {.zip64 = true}},
      {"comment", {kFirst}, {.comment = "made by hand"}},
      {"descriptor", {{.name = "a/x", .data = "hello", .flags = 8}}},
      {"descriptor without signature",
       {{.name = "a/x", .data = "hello", .flags = 8, .descriptor_bytes = 12}}},
      {"wide descriptor", {{.name = "a/x", .data = "hello", .flags = 8, .descriptor_bytes = 24}}},
      {"wide descriptor without signature",
       {{.name = "a/x", .data = "hello", .flags = 8, .descriptor_bytes = 20}}},
      {"descriptor and sizes in the header",
       {{.name = "a/x", .data = "hello", .flags = 8, .local_size = 5}}},
      {"deflate", {{.name = "a/x", .data = data, .stored = Deflate(data), .method = 8}}},
      {"UTF-8 name", {{.name = "größe/x", .data = "hello", .flags = 1 << 11}}},
      {"other extra fields",
       {{.name = "a/x",
         .data = "hello",
         .local_extra = Extra(0x5455, "abcde"),
         .extra = Extra(0x7875, "abc")}}},
      {"zip64 field without need",
       {{.name = "a/x", .data = "hello", .extra = Extra(1, Le(5, 8) + Le(5, 8))}}},
      {"zip64 field of torch in the local header",
       {{.name = "a/x",
         .data = "hello",
         .flags = 8,
         .local_extra = Extra(1, Le(5, 8) + Le(0, 8))}}},
      {"sizes in the zip64 field",
       {{.name = "a/x",
         .data = "hello",
         .size = 0xFFFFFFFF,
         .extra = Extra(1, Le(5, 8) + Le(5, 8))}}},
      {"folders", {{.name = "a/", .data = ""}, kFirst}},
      {"no CRC", {{.name = "a/x", .data = "hello", .crc = 0}}},
      {"entry comment", {{.name = "a/x", .data = "hello", .comment = "note"}}},
  };
  for (const Good& row : table) {
    std::vector<std::string> contents;
    EXPECT_TRUE(Open(BuildZip(row.parts, row.end), Limits(), &contents).ok())
        << row.name << ": " << Open(BuildZip(row.parts, row.end));
    EXPECT_GE(contents.size(), 1u) << row.name;
  }
}

struct Bad {
  std::string name;
  std::vector<ZipPart> parts;
  ZipEnd end;
  Reason reason;
  std::string part;
};

TEST(ZipReader, RefusesBadEndRecords) {
  const std::vector<Bad> table = {
      {"no records", {}, {}, Reason::kMalformed, "no records"},
      {"trailing byte", {kFirst}, {.after = "x"}, Reason::kMalformed, "followed by 1 bytes"},
      {"comment too long", {kFirst}, {.comment_bytes_more = 9}, Reason::kMalformed, "comment of 9"},
      {"second end record in the comment",
       {kFirst},
       {.comment = std::string("PK\5\6") + std::string(18, '\0')},
       Reason::kUnsafe,
       "another at offset"},
      {"one more entry claimed", {kFirst}, {.count_more = 1}, Reason::kMalformed, "1 entries"},
      {"one entry less claimed",
       {kFirst, {.name = "a/y", .data = "y"}},
       {.count_more = -1},
       Reason::kMalformed,
       "left over"},
      {"directory beyond the file",
       {kFirst},
       {.offset_more = 1 << 20},
       Reason::kMalformed,
       "want it to end"},
      {"directory size overflows",
       {kFirst},
       {.size_more = 1 << 30},
       Reason::kMalformed,
       "want it to end"},
      {"bytes before the end records",
       {kFirst},
       {.before = "junk"},
       Reason::kMalformed,
       "want it to end"},
      {"several disks", {kFirst}, {.disk = 1}, Reason::kUnsupported, "disks"},
      {"zip64 count differs",
       {kFirst},
       {.zip64 = true, .zip64_count_more = 1},
       Reason::kUnsafe,
       "disagree"},
      {"zip64 offset differs",
       {kFirst},
       {.zip64 = true, .zip64_offset_more = 4},
       Reason::kUnsafe,
       "disagree"},
      {"zip64 count overflows the limit",
       {kFirst},
       {.zip64 = true, .count_more = 0xFFFF - 1, .zip64_count_more = 1 << 30},
       Reason::kLimit,
       "zip_records_max"},
      {"locator points elsewhere",
       {kFirst},
       {.zip64 = true, .locator_more = 1},
       Reason::kUnsafe,
       "locator"},
      {"marker without zip64",
       {kFirst},
       {.offset_more = static_cast<int>(0xFFFFFFFFu - 38)},
       Reason::kMalformed,
       "zip64"},
  };
  for (const Bad& row : table) {
    EXPECT_TRUE(FailsWith(Open(BuildZip(row.parts, row.end)), row.reason, row.part)) << row.name;
  }
  EXPECT_TRUE(FailsWith(Open(""), Reason::kTruncated, "interrupted"));
  EXPECT_TRUE(FailsWith(Open("PK\3"), Reason::kTruncated, "interrupted"));
}

TEST(ZipReader, RefusesRecordsThatDisagree) {
  const ZipPart second{"a/y", "world"};
  const std::vector<Bad> table = {
      {"bytes in front",
       {{.name = "a/x", .data = "hello", .before = "#!"}},
       {},
       Reason::kMalformed,
       "offset 2, want 0"},
      {"gap",
       {kFirst, {.name = "a/y", .data = "y", .before = "junk"}},
       {},
       Reason::kUnsafe,
       "4 bytes that belong to no record"},
      {"overlap",
       {kFirst, {.name = "a/x2", .data = "hello", .offset = 0}},
       {},
       Reason::kUnsafe,
       "overlaps"},
      {"offset beyond the file",
       {kFirst, {.name = "a/y", .data = "y", .offset = 1 << 20}},
       {},
       Reason::kMalformed,
       "want it before the directory"},
      {"other name in the header",
       {{.name = "a/x", .data = "hello", .local_name = "a/z"}},
       {},
       Reason::kUnsafe,
       "a/z"},
      {"other case in the header",
       {{.name = "a/x", .data = "hello", .local_name = "a/X"}},
       {},
       Reason::kUnsafe,
       "a/X"},
      {"descriptor flag differs",
       {{.name = "a/x", .data = "hello", .local_flags = 8}},
       {},
       Reason::kMalformed,
       "flags"},
      {"encryption only in the header",
       {{.name = "a/x", .data = "hello", .local_flags = 1}},
       {},
       Reason::kUnsupported,
       "encrypted"},
      {"method differs",
       {{.name = "a/x", .data = "hello", .local_method = 8}},
       {},
       Reason::kUnsafe,
       "method"},
      {"size differs",
       {{.name = "a/x", .data = "hello", .local_size = 4}},
       {},
       Reason::kUnsafe,
       "sizes"},
      {"CRC differs in the header",
       {{.name = "a/x", .data = "hello", .local_crc = 7}},
       {},
       Reason::kChecksum,
       "local header"},
      {"CRC differs in the descriptor",
       {{.name = "a/x", .data = "hello", .flags = 8, .descriptor_crc = 7}},
       {},
       Reason::kChecksum,
       "descriptor"},
      {"size differs in the descriptor",
       {{.name = "a/x", .data = "hello", .flags = 8, .descriptor_size = 6}},
       {},
       Reason::kUnsafe,
       "descriptor"},
      {"no descriptor",
       {{.name = "a/x", .data = "hello", .flags = 8, .descriptor_bytes = 0}},
       {},
       Reason::kMalformed,
       "want a data descriptor"},
      {"wrong CRC everywhere",
       {{.name = "a/x", .data = "hello", .crc = 7}},
       {},
       Reason::kChecksum,
       "CRC-32"},
      {"zip64 field differs",
       {{.name = "a/x", .data = "hello", .extra = Extra(1, Le(6, 8) + Le(6, 8))}},
       {},
       Reason::kUnsafe,
       "zip64"},
      {"zip64 field twice",
       {{.name = "a/x",
         .data = "hello",
         .extra = Extra(1, Le(5, 8) + Le(5, 8)) + Extra(1, Le(5, 8) + Le(5, 8))}},
       {},
       Reason::kUnsafe,
       "twice"},
      {"zip64 field too short",
       {{.name = "a/x", .data = "hello", .size = 0xFFFFFFFF, .extra = Extra(1, Le(5, 4))}},
       {},
       Reason::kMalformed,
       "too short"},
      {"local zip64 field differs",
       {{.name = "a/x", .data = "hello", .local_extra = Extra(1, Le(9, 8) + Le(5, 8))}},
       {},
       Reason::kUnsafe,
       "zip64"},
      {"marker without zip64 field",
       {{.name = "a/x", .data = "hello", .size = 0xFFFFFFFF}},
       {},
       Reason::kMalformed,
       "zip64"},
      {"extra field runs over",
       {{.name = "a/x", .data = "hello", .extra = Le(0x5455, 2) + Le(9, 2)}},
       {},
       Reason::kMalformed,
       "runs over"},
      {"Unicode path field",
       {{.name = "a/x", .data = "hello", .extra = Extra(0x7075, "12345b/x")}},
       {},
       Reason::kUnsafe,
       "second name"},
      {"name twice",
       {kFirst, second, {.name = "a/x", .data = "again"}},
       {},
       Reason::kUnsafe,
       "stands twice"},
      {"name twice but for case",
       {kFirst, {.name = "a/X", .data = "again"}},
       {},
       Reason::kUnsafe,
       "stands twice"},
  };
  for (const Bad& row : table) {
    EXPECT_TRUE(FailsWith(Open(BuildZip(row.parts, row.end)), row.reason, row.part)) << row.name;
  }
}

TEST(ZipReader, RefusesNames) {
  const std::vector<std::pair<std::string, Reason>> table = {
      {"", Reason::kMalformed},
      {"/x", Reason::kUnsafe},
      {"../x", Reason::kUnsafe},
      {"a/../x", Reason::kUnsafe},
      {"a/./x", Reason::kUnsafe},
      {"a//x", Reason::kUnsafe},
      {"a\\x", Reason::kUnsafe},
      {"C:/x", Reason::kUnsafe},
      {std::string("a/x\0.txt", 8), Reason::kUnsafe},
      {"a/x\n", Reason::kUnsafe},
      {"a/\xff", Reason::kMalformed},
      {"a/" + std::string(5000, 'x'), Reason::kMalformed},
  };
  for (const auto& [name, reason] : table) {
    EXPECT_TRUE(FailsWith(Open(BuildZip({{.name = name, .data = "hello"}})), reason, "name"))
        << name;
  }
}

TEST(ZipReader, RefusesFlagsAndMethods) {
  for (const int bit : {0, 5, 6, 13}) {
    const ZipPart part{.name = "a/x", .data = "hello", .flags = static_cast<uint16_t>(1 << bit)};
    EXPECT_TRUE(FailsWith(Open(BuildZip({part})), Reason::kUnsupported, "encrypted")) << bit;
  }
  for (const uint16_t method : {1, 6, 9, 12, 14, 93, 95, 99}) {
    const ZipPart part{.name = "a/x", .data = "hello", .stored = "hello", .method = method};
    EXPECT_TRUE(FailsWith(Open(BuildZip({part})), Reason::kUnsupported, "method")) << method;
  }
}

TEST(ZipReader, RefusesBrokenDeflate) {
  const std::string data(1000, 'z');
  const std::string packed = Deflate(data);
  const auto part = [&](const std::string& used, const std::string& stored) {
    return BuildZip({{.name = "a/x", .data = used, .stored = stored, .method = 8}});
  };
  EXPECT_TRUE(Open(part(data, packed)).ok());
  EXPECT_TRUE(FailsWith(Open(part(data + "z", packed)), Reason::kMalformed, "deflate"));
  EXPECT_TRUE(FailsWith(Open(part(data.substr(1), packed)), Reason::kMalformed, "deflate"));
  EXPECT_TRUE(FailsWith(Open(part(data, packed + "x")), Reason::kMalformed, "deflate"));
  EXPECT_TRUE(FailsWith(Open(part(data, packed.substr(1))), Reason::kMalformed, "deflate"));
  const std::string bomb = BuildZip({{
      .name = "a/x",
      .data = "",
      .stored = packed,
      .method = 8,
      .crc = 1,
      .extra = Extra(1, Le(uint64_t{1} << 40, 8) + Le(1, 8)),
  }});
  EXPECT_FALSE(Open(bomb).ok());
}

TEST(ZipReader, ObeysLimits) {
  Limits limits;
  limits.zip_records_max = 1;
  const std::string two = BuildZip({kFirst, {.name = "a/y", .data = "y"}});
  EXPECT_TRUE(FailsWith(Open(two, limits), Reason::kLimit, "zip_records_max"));
  limits = Limits();
  limits.zip_directory_bytes_max = 60;
  EXPECT_TRUE(FailsWith(Open(two, limits), Reason::kLimit, "zip_directory_bytes_max"));
  StringSource source(two);
  const auto zip = ZipReader::Open(source, Limits());
  ASSERT_TRUE(zip.ok()) << zip.status();
  EXPECT_TRUE(FailsWith(zip->Read(*zip->Find("a/x"), 4).status(), Reason::kLimit, "a/x"));
}

// Every byte of an archive belongs to something that is checked: no change of one
// byte gives other content.
TEST(ZipReader, NoFlippedByteGivesOtherContent) {
  const std::string good =
      BuildZip({{.name = "a/x", .data = "hello", .flags = 8}, {.name = "a/y", .data = "world"}},
               {.zip64 = true});
  std::vector<std::string> want;
  ASSERT_TRUE(Open(good, Limits(), &want).ok());
  for (size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      std::vector<std::string> got;
      const absl::Status status = Open(bad, Limits(), &got);
      if (status.ok()) {
        EXPECT_EQ(got, want) << "byte " << i << " bit " << bit;
      } else {
        EXPECT_NE(GetReason(status), Reason::kNone) << status;
      }
    }
  }
}

TEST(ZipReader, RefusesEveryTruncation) {
  const std::string good =
      BuildZip({{.name = "a/x", .data = "hello", .flags = 8}, {.name = "a/y", .data = "y"}},
               {.zip64 = true});
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_TRUE(FailsWith(Open(good.substr(0, size)), Reason::kTruncated, "interrupted")) << size;
  }
}

}  // namespace
}  // namespace ballast
