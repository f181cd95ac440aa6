#ifndef STROBE_TEXT_JSON_H
#define STROBE_TEXT_JSON_H

/** \file
 * A JSON value that knows where it stands in the text, for errors that say so. */

#include "support/Error.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <set>
#include <string>

namespace strobe {

class Json {
    const nlohmann::json *value;
    std::string path;  // JSON pointer

public:
    Json(const nlohmann::json &v, std::string p)
        : value(&v), path(std::move(p)) {
    }

    const nlohmann::json &operator*() const {
        return *value;
    }
    const nlohmann::json *operator->() const {
        return value;
    }

    [[noreturn]] void refuse(const std::string &why) const;

    /** A member that must be there; members that may be missing are asked for with has(). */
    Json at(const std::string &key) const;
    bool has(const std::string &key) const;
    Json at(size_t index) const;
    size_t size() const;

    const std::string &string() const;
    /** A letter, then letters, digits and underscores; at most 64 characters. */
    const std::string &identifier() const;
    int64_t integer(int64_t least, int64_t most) const;
    double number() const;
    const Json &array(size_t least, size_t most) const;
    /** Refuses members that are not named, so that a misspelt one is not ignored. */
    const Json &object(const std::set<std::string> &members) const;
};

}  // namespace strobe

#endif
