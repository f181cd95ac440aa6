#include "ResolveNames.h"

#include "support/NearestName.h"

#include <algorithm>

namespace strobe {

std::string base_name(const std::string &name) {
    return name.substr(0, name.find('$', 1));
}

Resolved resolve_name(const std::string &name, const std::vector<std::string> &known, const std::string &kind) {
    if (std::find(known.begin(), known.end(), name) != known.end()) {
        return {name, ""};
    }
    std::vector<std::string> matches, bases;
    for (const std::string &k : known) {
        bases.push_back(base_name(k));
        if (base_name(k) == name && std::find(matches.begin(), matches.end(), k) == matches.end()) {
            matches.push_back(k);
        }
    }
    if (matches.size() == 1) {
        return {matches[0], ""};
    }
    if (matches.size() > 1) {
        return {"", "several are called " + name + ": " + list_of(matches)};
    }
    return {"", "there is no " + kind + " " + name + suggestion_for(name, bases)};
}

}  // namespace strobe
