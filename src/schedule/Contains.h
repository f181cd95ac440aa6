#ifndef STROBE_SCHEDULE_CONTAINS_H
#define STROBE_SCHEDULE_CONTAINS_H

/** \file
 * Whether a list has a name. Not for headers that other folders include. */

#include <algorithm>
#include <string>
#include <vector>

namespace strobe {

inline bool contains(const std::vector<std::string> &list, const std::string &name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

}  // namespace strobe

#endif
