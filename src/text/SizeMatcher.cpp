#include "SizeMatcher.h"

#include <algorithm>
#include <cmath>

namespace strobe {

namespace {

constexpr size_t max_symbols = max_text_tensors * max_text_rank;

bool scalar_fits(const TextScalar &s, double value) {
    if (s.type.is_int() && !(value >= INT32_MIN && value <= INT32_MAX && value == std::floor(value))) {
        return false;
    }
    return (!s.min || value >= *s.min) && (!s.max || value <= *s.max);
}

}  // namespace

SizeMatcher::SizeMatcher(const TextAlgorithm &algorithm)
    : scalars(algorithm.scalars) {
    std::map<std::string, int> symbols;
    const auto size_of = [&](const TextSize &s) {
        if (s.name.empty()) {
            return Size{s.constant, -1};
        }
        return Size{-1, symbols.emplace(s.name, int(symbols.size())).first->second};
    };
    const auto read = [&](const std::vector<TextTensor> &from, std::vector<std::vector<Size>> &to) {
        for (const TextTensor &t : from) {
            to.emplace_back();
            std::transform(t.sizes.rbegin(), t.sizes.rend(), std::back_inserter(to.back()), size_of);
        }
    };
    read(algorithm.tensors, tensors);
    read(algorithm.outputs, outputs);
    for (const TextRequirement &r : algorithm.requirements) {
        if (r.kind == TextRequirement::Kind::AtLeast) {
            const size_t rank = tensors[r.tensor].size();
            requirements.push_back({r.kind, r.tensor, rank - 1 - r.dim, size_of(r.least), -1});
        } else {
            const Size divisor = size_of(TextSize{-1, r.divisor});
            requirements.push_back({r.kind, 0, 0, divisor, size_of(TextSize{-1, r.name}).symbol});
        }
    }
    num_symbols = symbols.size();
}

bool SizeMatcher::match(const std::vector<ShapeView> &shapes, const std::vector<double> &values,
                        std::vector<std::vector<int64_t>> &sizes) const {
    if (shapes.size() != tensors.size() || values.size() != scalars.size() || num_symbols > max_symbols) {
        return false;
    }
    int64_t known[max_symbols];
    std::fill_n(known, num_symbols, -1);
    for (size_t t = 0; t < tensors.size(); t++) {
        if (shapes[t].rank != int64_t(tensors[t].size())) {
            return false;
        }
        for (size_t d = 0; d < tensors[t].size(); d++) {
            const Size &declared = tensors[t][d];
            const int64_t got = shapes[t].sizes[d];
            if (got < 0 || got > INT32_MAX || (declared.constant >= 0 && declared.constant != got)) {
                return false;
            }
            if (declared.symbol >= 0) {
                int64_t &symbol = known[declared.symbol];
                if (symbol >= 0 && symbol != got) {
                    return false;
                }
                symbol = got;
            }
        }
    }
    const auto value_of = [&](const Size &s) { return s.symbol >= 0 ? known[s.symbol] : s.constant; };
    for (const Requirement &r : requirements) {
        const int64_t least = value_of(r.least);
        if (r.kind == TextRequirement::Kind::AtLeast) {
            if (shapes[r.tensor].sizes[r.dim] < least) {
                return false;
            }
        } else if (least == 0 ? known[r.symbol] != 0 : known[r.symbol] % least != 0) {
            return false;
        }
    }
    for (size_t n = 0; n < scalars.size(); n++) {
        if (!scalar_fits(scalars[n], values[n])) {
            return false;
        }
    }
    sizes.resize(outputs.size());
    for (size_t o = 0; o < outputs.size(); o++) {
        sizes[o].resize(outputs[o].size());
        std::transform(outputs[o].begin(), outputs[o].end(), sizes[o].begin(), value_of);
    }
    return true;
}

}  // namespace strobe
