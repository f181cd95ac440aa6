#ifndef STROBE_TEXT_SIZE_MATCHER_H
#define STROBE_TEXT_SIZE_MATCHER_H

/** \file
 * The rules of output_sizes() and check_scalar_values() as a yes or no that takes
 * a fraction of a microsecond: for the path of every call. Who gets a no asks those for the reason. */

#include "AlgorithmText.h"

namespace strobe {

/** Sizes of a tensor as PyTorch and NumPy keep them: outermost first. */
struct ShapeView {
    const int64_t *sizes = nullptr;
    int64_t rank = 0;
};

class SizeMatcher {
    struct Size {
        int64_t constant;  // -1: none
        int symbol;        // -1: none
    };
    struct Requirement {
        TextRequirement::Kind kind;
        size_t tensor, dim;   // dim counted from the outermost
        Size least;           // or the divisor
        int symbol;
    };
    std::vector<std::vector<Size>> tensors, outputs;  // outermost first
    std::vector<TextScalar> scalars;
    std::vector<Requirement> requirements;
    size_t num_symbols = 0;

public:
    explicit SizeMatcher(const TextAlgorithm &algorithm);

    /** Whether both functions would accept these. Then \p sizes, one for each output, gets the outputs'
     * sizes, outermost first. */
    bool match(const std::vector<ShapeView> &shapes, const std::vector<double> &values,
               std::vector<std::vector<int64_t>> &sizes) const;
};

}  // namespace strobe

#endif
