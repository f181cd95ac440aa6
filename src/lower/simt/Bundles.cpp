#include "Bundles.h"

#include <algorithm>

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** What loads of one bundle have in common, and the constants in which they differ. */
struct Shape {
    std::string text;
    std::string rows, inner;
    std::vector<int> constants, inner_dims;  // input dimensions
};

Shape shape_of(const TileProgram &program, const TileOp &op) {
    const Call *call = op.expr.as<Call>();
    const std::vector<TileDim> &dims = program.value(op.dst).dims;
    const int word_bytes = 4;
    Shape shape;
    if (!call || !call->param.defined() || call->type != program.value(op.dst).type ||
        call->type.bytes() != word_bytes || dims.empty() || dims.size() > 2) {
        return shape;
    }
    shape.rows = dims[0].axis;
    shape.inner = dims.size() > 1 ? dims[1].axis : "";
    std::ostringstream text;
    text << call->name << " " << shape.rows << " " << shape.inner;
    for (size_t d = 0; d < call->args.size(); d++) {
        const Expr &a = call->args[d];
        const Variable *v = a.as<Variable>();
        if (is_const(a)) {
            shape.constants.push_back((int)d);
            text << " *";
        } else if (v && v->name == shape.inner && is_const_zero(simplify(program.axis(v->name).min))) {
            shape.inner_dims.push_back((int)d);
            text << " |";
        } else if (!shape.inner.empty() && expr_uses_var(a, shape.inner)) {
            return Shape();
        } else {
            text << " " << a;
        }
    }
    if (!shape.constants.empty() && shape.inner_dims.size() == dims.size() - 1) {
        shape.text = text.str();
    }
    return shape;
}

/** A sum over the axis reads zeros behind its end, which a row of a bundle does not have. */
bool is_contracted(const TileProgram &program, const std::string &axis) {
    for (const StreamPass &pass : program.passes) {
        for (const auto *ops : {&pass.prologue, &pass.step, &pass.merge, &pass.epilogue}) {
            for (const TileOp &op : *ops) {
                if (op.kind == TileOp::Kind::Contract && op.axis == axis) {
                    return true;
                }
            }
        }
    }
    return false;
}

int constant(const TileOp &op, int dim) {
    return (int)*as_const_int(op.expr.as<Call>()->args[dim]);
}

/** Whether the bundle's loads are each of its elements once. */
bool complete(Bundle &b, const TileProgram &program, const Shape &shape) {
    for (size_t d = 0; d < b.loads[0].expr.as<Call>()->args.size(); d++) {
        int extent = 0;
        if (std::count(shape.constants.begin(), shape.constants.end(), (int)d)) {
            for (const TileOp &op : b.loads) {
                if (constant(op, (int)d) < 0) {
                    return false;
                }
                extent = std::max(extent, constant(op, (int)d) + 1);
            }
        } else if (std::count(shape.inner_dims.begin(), shape.inner_dims.end(), (int)d)) {
            extent = program.value(b.loads[0].dst).dims[1].size;
        }
        if (extent > 0) {
            b.dims.push_back((int)d);
            b.extents.push_back(extent);
            b.row *= extent;
        }
    }
    const int own = shape.inner.empty() ? 1 : program.value(b.loads[0].dst).dims[1].size;
    std::set<int> offsets;
    for (const TileOp &op : b.loads) {
        offsets.insert(b.offset(op));
    }
    return b.loads.size() > 1 && offsets.size() == b.loads.size() && b.row == own * (int)b.loads.size();
}

}  // namespace

bool Bundle::has(const std::string &value) const {
    return std::any_of(loads.begin(), loads.end(), [&](const TileOp &op) { return op.dst == value; });
}

int Bundle::inner_stride() const {
    int stride = 1;
    for (size_t d = 0; d < dims.size(); d++) {
        if (!is_const(loads[0].expr.as<Call>()->args[dims[d]])) {
            return stride;
        }
        stride *= extents[d];
    }
    return 1;
}

int Bundle::offset(const TileOp &load) const {
    int stride = 1, result = 0;
    for (size_t d = 0; d < dims.size(); d++) {
        if (is_const(load.expr.as<Call>()->args[dims[d]])) {
            result += constant(load, dims[d]) * stride;
        }
        stride *= extents[d];
    }
    return result;
}

std::vector<Bundle> find_bundles(const TileProgram &program) {
    std::vector<Bundle> found;
    for (const StreamPass &pass : program.passes) {
        for (const auto *ops : {&pass.prologue, &pass.step}) {
            std::map<std::string, std::pair<Shape, Bundle>> alike;
            for (const TileOp &op : *ops) {
                if (op.kind == TileOp::Kind::Load) {
                    const Shape shape = shape_of(program, op);
                    alike[shape.text].first = shape;
                    alike[shape.text].second.loads.push_back(op);
                }
            }
            for (auto &[text, entry] : alike) {
                auto &[shape, bundle] = entry;
                if (!text.empty() && !is_contracted(program, shape.inner) && complete(bundle, program, shape)) {
                    bundle.array = bundle.loads[0].dst + ".rows";
                    bundle.rows = shape.rows;
                    bundle.inner = shape.inner;
                    bundle.pitch = (bundle.row + 3) / 4 * 4;  // multiples of 16 bytes
                    found.push_back(bundle);
                }
            }
        }
    }
    return found;
}

}  // namespace strobe::simt
