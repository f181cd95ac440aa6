#include "NearestName.h"

#include <algorithm>
#include <cctype>

namespace strobe {

namespace {

std::string lower_case(std::string s) {
    std::transform(s.begin(), s.end(), s.begin(), [](unsigned char c) { return std::tolower(c); });
    return s;
}

size_t common_prefix(const std::string &a, const std::string &b) {
    const auto ends = std::mismatch(a.begin(), a.begin() + std::min(a.size(), b.size()), b.begin());
    return ends.first - a.begin();
}

}  // namespace

int edit_distance(const std::string &a, const std::string &b) {
    const size_t columns = b.size() + 1;
    std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(columns));
    for (size_t i = 0; i <= a.size(); i++) {
        for (size_t j = 0; j < columns; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (int)(i + j);
                continue;
            }
            d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
            }
        }
    }
    return d[a.size()][b.size()];
}

std::string nearest_name(const std::string &name, const std::vector<std::string> &known) {
    std::string best;
    int least = 1 + std::max<int>(2, (int)name.size() / 3);
    for (const std::string &k : known) {
        int distance = edit_distance(lower_case(name), lower_case(k));
        // Of two as near, the one that begins alike for longer.
        const bool better = distance < least || (distance == least && !best.empty() &&
                                                 common_prefix(name, k) > common_prefix(name, best));
        if (better && distance < (int)std::max(k.size(), name.size())) {
            least = distance;
            best = k;
        }
    }
    return best;
}

std::string suggestion_for(const std::string &name, const std::vector<std::string> &known) {
    if (known.empty()) {
        return "";
    }
    std::string nearest = nearest_name(name, known);
    return nearest.empty() ? " (known: " + list_of(known, ", ") + ")" : " (did you mean " + nearest + "?)";
}

std::string list_of(const std::vector<std::string> &names, const std::string &last_separator) {
    std::string text;
    for (size_t i = 0; i < names.size(); i++) {
        text += (i == 0 ? "" : i + 1 == names.size() ? last_separator : ", ") + names[i];
    }
    return text;
}

}  // namespace strobe
