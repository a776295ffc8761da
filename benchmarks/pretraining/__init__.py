"""What each modality has to pretrain on and to be judged by; `benchmarks.pretraining_pays` compares."""
