// JSON parsed event by event, so that a text costs no more memory than its longest
// string; a handler allows what it wants.
#ifndef BALLAST_STORAGE_FORMATS_STRICT_JSON_H_
#define BALLAST_STORAGE_FORMATS_STRICT_JSON_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace ballast {

// Accepts nothing.
class StrictJsonHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return false; }
  bool boolean(bool) override { return false; }
  bool number_integer(number_integer_t) override { return false; }
  bool number_unsigned(number_unsigned_t) override { return false; }
  bool number_float(number_float_t, const string_t&) override { return false; }
  bool string(string_t&) override { return false; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return false; }
  bool key(string_t&) override { return false; }
  bool end_object() override { return false; }
  bool start_array(std::size_t) override { return false; }
  bool end_array() override { return false; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }
};

// Accepts an object of objects: {"name": {…}, …}, at most 8 deep, with integers that fit
// in 64 bits with a sign (Python's and C#'s).
class ObjectOfObjectsHandler : public StrictJsonHandler {
 public:
  bool null() override { return Inside(); }
  bool boolean(bool) override { return Inside(); }
  bool number_integer(number_integer_t) override { return Inside(); }
  bool number_unsigned(number_unsigned_t value) override { return Inside() && value <= INT64_MAX; }
  bool number_float(number_float_t, const string_t&) override { return Inside(); }
  bool string(string_t&) override { return Inside(); }
  bool start_object(std::size_t) override { return ++depth_ <= kDepthMax; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return depth_-- > 0; }
  bool start_array(std::size_t) override { return Inside() && ++depth_ <= kDepthMax; }
  bool end_array() override { return depth_-- > 0; }

 private:
  static constexpr int kDepthMax = 8;
  bool Inside() const { return depth_ > 1; }
  int depth_ = 0;
};

// Whether `text` is JSON that the handler accepts to its end.
inline bool ParseJson(absl::string_view text, StrictJsonHandler* handler) {
  return nlohmann::json::sax_parse(text.data(), text.data() + text.size(), handler);
}

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_STRICT_JSON_H_
