// Parts of the document of storage/formats/inspect.h, for people.
#ifndef BALLAST_CLIENT_CLI_DESCRIPTION_H_
#define BALLAST_CLIENT_CLI_DESCRIPTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "client/cli/text.h"

namespace ballast::cli {

// A member as text: a string as it is, anything else as JSON; "" if it is not there.
std::string MemberText(const Json& json, const char* member);
// 0 if it is not there, or no number.
uint64_t MemberNumber(const Json& json, const char* member);
// The items of `document[list]`, or none.
std::vector<Json> MemberItems(const Json& document, const char* list);

// "a.weight = b.weight"
std::string TieLine(const Json& tie);
// "epoch: int 3", cut where it is long.
std::string LeafLine(const Json& leaf);

// All of it.
std::string DescriptionText(const std::string& subject, const Json& document);

}  // namespace ballast::cli

#endif  // BALLAST_CLIENT_CLI_DESCRIPTION_H_
