#ifndef STROBE_SCHEDULE_WORKLOAD_BUILDER_H
#define STROBE_SCHEDULE_WORKLOAD_BUILDER_H

/** \file
 * What counts a workload, in several files: CountContractions.cpp has the contractions and their operands,
 * FindChains.cpp what depends on each other, FindElements.cpp inputs with an element for each row and column,
 * WorkloadBuilder.cpp the order of all this. */

#include "Contains.h"
#include "Workload.h"

#include <set>

namespace strobe {

/** Calls of inputs, and Variables, in an Expr. */
class Uses : public Halide::Internal::IRGraphVisitor {
    using IRGraphVisitor::visit;

    void visit(const Halide::Internal::Call *op) override {
        if (op->call_type == Halide::Internal::Call::Image) {
            loads.push_back(op);
        }
        IRGraphVisitor::visit(op);
    }

    void visit(const Halide::Internal::Variable *op) override {
        variables.insert(op->name);
        if (op->param.defined() && !op->param.is_buffer()) {
            scalars.emplace(op->name, op->param);
        }
    }

public:
    std::vector<const Halide::Internal::Call *> loads;
    std::set<std::string> variables;
    std::map<std::string, Halide::Parameter> scalars;

    Uses() = default;
    explicit Uses(const Expr &e) {
        add(e);
    }
    void add(const Expr &e) {
        if (e.defined()) {
            e.accept(this);
        }
    }
};

/** The factors of a product, looking through casts; a quotient is a product with a reciprocal. */
void factors_of(const Expr &e, std::vector<Expr> &factors);

class WorkloadBuilder {
    const ReductionGraph &graph;
    const Plan &plan;
    Workload work;

    bool is_row_axis(const std::string &axis) const;
    Operand operand_of(const Halide::Internal::Call *load);
    /** The loads in a product that use one of these axes; sets matrix if each is a
     * factor of its own and there are \p expected of them. */
    std::vector<Operand> operands_in(const Expr &body, const std::vector<std::string> &axes, size_t expected,
                                     bool &matrix);
    /** One side of a product of what rows and of what streamed rows compute from inputs: it can be computed beforehand
     * and is no more precise than the 16-bit elements it is computed from. Undefined type: not of such elements. */
    Operand computed_operand(const std::vector<Expr> &factors, const std::string &axis,
                             const std::string &feature);
    void use_computed_operands(const Reduction &r, Contraction &c);
    /** Contractions inside a tile, such as the scores. */
    void add_inner(const Reduction &r);
    std::vector<std::string> names_of(const Moment &m) const;
    void add_moment(const Pass &pass, const Moment &m, PassWorkload &p, std::vector<Expr> &weights);
    bool has_computed_operands(const std::string &inner) const;
    /** Everything an Expr refers to, through reductions evaluated inside the tile. */
    void inner_uses(const Expr &e, std::set<std::string> &names) const;
    /** Groups what refers to each other: pivots, moments (whose contractions are given, or -1) and the reductions
     * inside a tile. */
    std::vector<ChainWorkload> chains_of(const Pass &pass, const std::vector<int> &contraction_of) const;
    /** Distinct inputs with an element for each row and key in what the pass computes everywhere. */
    int element_loads(const Pass &pass) const;
    /** Whether a load's index is this axis alone. */
    bool is_axis(const Expr &index, const std::string &axis) const;
    /** The loads of e whose tiles of rows and of columns along `axis` can be copied in bulk. */
    void add_elements(const Expr &e, const std::string &axis, const std::string &result = "");
    void add_elements(const Pass &pass);
    void add_result(const Output &o);
    void add_pass(const Pass &pass);

public:
    WorkloadBuilder(const ReductionGraph &graph, const Plan &plan, const AxisSizes &given);
    Workload build();
};

}  // namespace strobe

#endif
