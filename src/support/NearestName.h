#ifndef STROBE_SUPPORT_NEAREST_NAME_H
#define STROBE_SUPPORT_NEAREST_NAME_H

/** \file
 * Suggestions for misspelt names in error messages. */

#include <string>
#include <vector>

namespace strobe {

/** Insertions, deletions, replacements and swaps of neighbours that turn one name into the other. */
int edit_distance(const std::string &a, const std::string &b);

/** The known name closest to \p name, or "" if none is close enough to be what was meant. */
std::string nearest_name(const std::string &name, const std::vector<std::string> &known);

/** " (did you mean tile?)", or " (known: a, b, c)" when nothing is close; "" for no known names. */
std::string suggestion_for(const std::string &name, const std::vector<std::string> &known);

/** "a, b and c" */
std::string list_of(const std::vector<std::string> &names, const std::string &last_separator = " and ");

}  // namespace strobe

#endif
