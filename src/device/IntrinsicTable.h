#ifndef STROBE_DEVICE_INTRINSIC_TABLE_H
#define STROBE_DEVICE_INTRINSIC_TABLE_H

/** \file
 * The PTX of each device intrinsic. */

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace strobe::device {

/** One call as found in the PTX: strobe$op$constant$...(arguments) -> result. */
struct IntrinsicCall {
    std::string op;
    std::vector<std::string> constants;
    std::vector<std::string> arguments;  // registers or immediates
    std::string result;                  // a register
    int id = 0;                          // unique, for labels
    /** Notes that named register i is used and returns its PTX name. */
    std::function<std::string(const std::string &name, int i)> named;
};

/** Named registers are of 32 bits but for those whose names end so. */
inline const std::string wide_ending = "_w64";
inline bool is_wide_register(const std::string &name) {
    return name.size() > wide_ending.size() &&
           name.compare(name.size() - wide_ending.size(), wide_ending.size(), wide_ending) == 0;
}

/** The instruction(s). Throws InternalError on an unknown op. */
std::string ptx_of(const IntrinsicCall &call);

}  // namespace strobe::device

#endif
