#ifndef STROBE_LOWER_CUDA_ELEMENT_SPLIT_H
#define STROBE_LOWER_CUDA_ELEMENT_SPLIT_H

/** \file
 * One element's value, taken apart by how often its parts change, and written with the hardware's instructions.
 */

#include "Elements.h"

namespace strobe::cuda {

/** Splits an element's Expr into what is computed once (row or column) and the
 * rest, written with the hardware's instructions. */
class Elements::Split : public Halide::Internal::IRMutator {
    using IRMutator::visit;
    Elements &self;

public:
    struct PerRow {
        std::string name;
        std::array<Expr, 2> value;
    };
    struct PerColumn {
        std::string name;
        Expr source;
    };
    /** An input with an element for each row and column, read at a row's address and a column's offset. */
    struct PerElement {
        std::string name;
        const Halide::Internal::Call *load;
        int dim;  // that the column indexes, alone
        std::string registers;  // where it is, if it has been read before
    };
    /** 1 / denominator, which is taken for two elements at once. */
    struct Reciprocal {
        std::string name;
        Expr scaled_denominator;  // times reciprocal_scale
        Expr denominator;
    };
    std::vector<PerRow> rows;
    std::vector<PerColumn> columns;
    std::vector<PerElement> elements;
    std::vector<Reciprocal> reciprocals;  // those that others' denominators need come first

    explicit Split(Elements &self)
        : self(self) {
    }

    Expr mutate(const Expr &e) override;

private:
    Expr once_a_row(const Expr &e);
    Expr sum_of(const LinearForm &form, double factor = 1);
    Expr mutate_atom(const Expr &e);
    template<typename Op>
    Expr comparison(const Op *op);
    Expr within(const Expr &distance, const Expr &reach);

    Expr visit(const Halide::Internal::Cast *op) override;
    Expr visit(const Halide::Internal::Call *op) override;
    Expr visit(const Halide::Internal::Div *op) override;
    Expr visit(const Halide::Internal::Max *op) override;
    Expr visit(const Halide::Internal::Min *op) override;
    Expr visit(const Halide::Internal::LT *op) override;
    Expr visit(const Halide::Internal::LE *op) override;
    Expr visit(const Halide::Internal::GT *op) override;
    Expr visit(const Halide::Internal::GE *op) override;
    Expr visit(const Halide::Internal::EQ *op) override;
    Expr visit(const Halide::Internal::NE *op) override;
};

}  // namespace strobe::cuda

#endif
