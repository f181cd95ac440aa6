#include "AlgorithmText.h"

#include "support/Error.h"

#include <cmath>

namespace strobe {

namespace {

using Sizes = std::vector<std::vector<int64_t>>;

class SizeChecker {
    const TextAlgorithm &algorithm;
    const Sizes &sizes;
    struct Named {
        int64_t value;
        size_t tensor, dim;
    };
    std::map<std::string, Named> named;

    /** "dimension 1 of k", counted from the outermost. */
    std::string place(size_t tensor, size_t dim) const {
        const TextTensor &t = algorithm.tensors[tensor];
        return "dimension " + std::to_string(t.sizes.size() - 1 - dim) + " of " + t.name;
    }

    int64_t value(const TextSize &s) const {
        return s.is_constant() ? s.constant : named.at(s.name).value;
    }

    void check_dimension(size_t t, size_t d) {
        const TextSize &declared = algorithm.tensors[t].sizes[d];
        const int64_t got = sizes[t][d];
        if (got < 0 || got > INT32_MAX) {
            strobe_user_error() << "In " << algorithm.name << ": " << place(t, d) << " has size " << got
                                << "; legal are 0 to " << INT32_MAX;
        }
        if (declared.is_constant() && declared.constant != got) {
            strobe_user_error() << "In " << algorithm.name << ": " << place(t, d) << " has size " << got
                                << "; it must be " << declared.constant;
        }
        if (declared.name.empty()) {
            return;
        }
        const auto added = named.emplace(declared.name, Named{got, t, d});
        const Named &first = added.first->second;
        if (first.value != got) {
            strobe_user_error() << "In " << algorithm.name << ": " << place(t, d) << " has size " << got << ", "
                                << place(first.tensor, first.dim) << " has size " << first.value
                                << "; they must be equal";
        }
    }

    void check_requirement(const TextRequirement &r) const {
        if (r.kind == TextRequirement::Kind::AtLeast) {
            const int64_t least = value(r.least), got = sizes[r.tensor][r.dim];
            if (got < least) {
                strobe_user_error() << "In " << algorithm.name << ": " << place(r.tensor, r.dim) << " has size " << got
                                    << "; it is indexed up to " << least - 1 << " and must be at least " << least;
            }
            return;
        }
        const Named &n = named.at(r.name), &divisor = named.at(r.divisor);
        if (divisor.value == 0 ? n.value != 0 : n.value % divisor.value != 0) {
            strobe_user_error() << "In " << algorithm.name << ": " << place(n.tensor, n.dim) << " has size " << n.value
                                << "; it must be a multiple of " << divisor.value << ", the size of "
                                << place(divisor.tensor, divisor.dim);
        }
    }

public:
    SizeChecker(const TextAlgorithm &a, const Sizes &s)
        : algorithm(a), sizes(s) {
    }

    Sizes check(std::map<std::string, int64_t> *names) {
        if (sizes.size() != algorithm.tensors.size()) {
            std::string expected;
            for (const TextTensor &t : algorithm.tensors) {
                expected += (expected.empty() ? "" : ", ") + t.name;
            }
            strobe_user_error() << "In " << algorithm.name << ": got " << sizes.size() << " tensors, expected "
                                << algorithm.tensors.size() << " (" << expected << ")";
        }
        for (size_t t = 0; t < sizes.size(); t++) {
            const TextTensor &tensor = algorithm.tensors[t];
            if (sizes[t].size() != tensor.sizes.size()) {
                strobe_user_error() << "In " << algorithm.name << ": " << tensor.name << " must have "
                                    << tensor.sizes.size() << " dimensions, got " << sizes[t].size();
            }
            for (size_t d = 0; d < sizes[t].size(); d++) {
                check_dimension(t, d);
            }
        }
        for (const TextRequirement &r : algorithm.requirements) {
            check_requirement(r);
        }
        Sizes result;
        for (const TextTensor &o : algorithm.outputs) {
            result.emplace_back();
            for (const TextSize &s : o.sizes) {
                result.back().push_back(value(s));
            }
        }
        if (names) {
            for (const auto &[name, n] : named) {
                (*names)[name] = n.value;
            }
        }
        return result;
    }
};

}  // namespace

std::vector<std::vector<int64_t>> output_sizes(const TextAlgorithm &algorithm, const Sizes &sizes,
                                               std::map<std::string, int64_t> *named) {
    return SizeChecker(algorithm, sizes).check(named);
}

void check_scalar_values(const TextAlgorithm &algorithm, const std::vector<double> &values) {
    if (values.size() != algorithm.scalars.size()) {
        strobe_user_error() << "In " << algorithm.name << ": got " << values.size() << " scalars, expected "
                            << algorithm.scalars.size();
    }
    for (size_t n = 0; n < values.size(); n++) {
        const TextScalar &s = algorithm.scalars[n];
        const double value = values[n];
        if (s.type.is_int() && !(value >= INT32_MIN && value <= INT32_MAX && value == std::floor(value))) {
            strobe_user_error() << "In " << algorithm.name << ": " << s.name
                                << " must be a whole number that int32 can hold, got " << value;
        }
        if ((s.min && !(value >= *s.min)) || (s.max && !(value <= *s.max))) {
            auto &&error = strobe_user_error();
            error << "In " << algorithm.name << ": " << s.name << " is " << value << "; legal are values ";
            error << (s.min ? "from " + std::to_string(*s.min) + " " : "");
            error << (s.max ? "up to " + std::to_string(*s.max) : "upwards");
        }
    }
}

}  // namespace strobe
