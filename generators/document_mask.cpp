#include "strobe/generator.h"

/** Several documents packed into one sequence: each query sees its own. */
class DocumentMask : public strobe::Attention<DocumentMask> {
public:
    Input<Buffer<int32_t, 2>> document{"document"};  // (position, batch): the document it belongs to

    void define() {
        Expr s = strobe::scores(q, k)(j, i, h, b) * scale;
        attend(strobe::where(strobe::same_document(document, i, j, b), s));
    }
};

HALIDE_REGISTER_GENERATOR(DocumentMask, document_mask)
