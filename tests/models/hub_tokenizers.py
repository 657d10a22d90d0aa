"""A small tokenizer of Hugging Face's kind, in the files that are beside the weights of such networks."""

from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

_TEXTS = ["a photo of a cat", "a photo of a dog on the beach", "zwei Kinder bauen eine Sandburg am Meer", "猫が眠る"]


def write_hub_tokenizer(directory: Path) -> None:
    """One that splits words by what was frequent, ends texts with </s>, and fills with it too, as SigLIP's does."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(_TEXTS * 10, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="</s>", eos_token="</s>", unk_token="<unk>", sep_token="</s>"
    ).save_pretrained(directory)
