#include "Json.h"

#include "support/NearestName.h"

namespace strobe {

void Json::refuse(const std::string &why) const {
    strobe_user_error() << "algorithm text, at " << (path.empty() ? "/" : path) << ": " << why;
}

Json Json::at(const std::string &key) const {
    if (!has(key)) {
        refuse("the member \"" + key + "\" is missing");
    }
    return {value->at(key), path + "/" + key};
}

bool Json::has(const std::string &key) const {
    return value->is_object() && value->contains(key);
}

Json Json::at(size_t index) const {
    return {value->at(index), path + "/" + std::to_string(index)};
}

size_t Json::size() const {
    return value->size();
}

const std::string &Json::string() const {
    if (!value->is_string()) {
        refuse("expected a string, got " + value->dump().substr(0, 40));
    }
    return value->get_ref<const std::string &>();
}

const std::string &Json::identifier() const {
    const std::string &s = string();
    bool legal = !s.empty() && s.size() <= 64 && std::isalpha(static_cast<unsigned char>(s[0]));
    for (const char c : s) {
        legal = legal && (std::isalnum(static_cast<unsigned char>(c)) || c == '_');
    }
    if (!legal) {
        refuse("not a name: " + value->dump().substr(0, 80) +
               "; a name is a letter, then letters, digits and underscores, 64 characters at most");
    }
    return s;
}

int64_t Json::integer(int64_t least, int64_t most) const {
    if (!value->is_number_integer()) {
        refuse("expected a whole number, got " + value->dump().substr(0, 40));
    }
    // An unsigned number beyond int64 would wrap.
    const bool wraps = value->is_number_unsigned() && value->get<uint64_t>() > uint64_t(INT64_MAX);
    const int64_t n = wraps ? 0 : value->get<int64_t>();
    if (wraps || n < least || n > most) {
        refuse(value->dump() + " is not in [" + std::to_string(least) + ", " + std::to_string(most) + "]");
    }
    return n;
}

double Json::number() const {
    if (value->is_string()) {
        const std::string &s = string();
        if (s == "inf" || s == "-inf") {
            return s == "inf" ? HUGE_VAL : -HUGE_VAL;
        }
        if (s == "nan") {
            return std::nan("");
        }
    }
    if (!value->is_number()) {
        refuse("expected a number, \"inf\", \"-inf\" or \"nan\", got " + value->dump().substr(0, 40));
    }
    return value->get<double>();
}

const Json &Json::array(size_t least, size_t most) const {
    if (!value->is_array() || value->size() < least || value->size() > most) {
        refuse("expected an array of " +
               (least == most ? std::to_string(least) : std::to_string(least) + " to " + std::to_string(most)) +
               " elements, got " + value->dump().substr(0, 40));
    }
    return *this;
}

const Json &Json::object(const std::set<std::string> &members) const {
    if (!value->is_object()) {
        refuse("expected an object, got " + value->dump().substr(0, 40));
    }
    for (auto it = value->begin(); it != value->end(); ++it) {
        if (!members.count(it.key())) {
            refuse("there is no member \"" + it.key().substr(0, 64) + "\"" +
                   suggestion_for(it.key(), {members.begin(), members.end()}));
        }
    }
    return *this;
}

}  // namespace strobe
