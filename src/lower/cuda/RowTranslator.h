#ifndef STROBE_LOWER_CUDA_ROW_TRANSLATOR_H
#define STROBE_LOWER_CUDA_ROW_TRANSLATOR_H

/** \file
 * Values that do not differ between the elements of a row, and what is left of an element's value when its registers
 * are known.
 */

#include "Elements.h"

namespace strobe::cuda {

/** Evaluates an Expr at the thread's row r, outside any element. */
class Elements::RowTranslator : public Halide::Internal::IRMutator {
    using IRMutator::visit;
    Elements &self;
    const int r;

    Expr visit(const Halide::Internal::Variable *op) override;
    Expr visit(const Halide::Internal::Call *op) override;
    Expr visit(const Halide::Internal::Max *op) override;
    Expr visit(const Halide::Internal::Min *op) override;
    Expr visit(const Halide::Internal::Div *op) override;
    Expr visit(const Halide::Internal::Mod *op) override;
    std::set<std::string> positions(const Expr &e) const;
    Expr by_reciprocal(const Expr &whole, const Expr &n, const Expr &by, bool remainder);
    Expr load(const Halide::Internal::Call *op);

public:
    int offset = 0;  // of the element's column
    RowTranslator(Elements &self, int r)
        : self(self), r(r) {
    }
};

}  // namespace strobe::cuda

#endif
