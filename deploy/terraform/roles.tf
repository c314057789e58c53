# A role for each service account of deploy/kubernetes: what its requests need, and nothing more.
data "aws_iam_policy_document" "ingest" {
  source_policy_documents = [
    data.aws_iam_policy_document.read_source.json,
    data.aws_iam_policy_document.write_state.json,
  ]
}

data "aws_iam_policy_document" "watch" {
  source_policy_documents = [
    data.aws_iam_policy_document.read_source.json,
    data.aws_iam_policy_document.write_state.json,
    data.aws_iam_policy_document.take_events.json,
  ]
}

data "aws_iam_policy_document" "search" {
  source_policy_documents = [
    data.aws_iam_policy_document.read_source.json,
    data.aws_iam_policy_document.read_state.json,
  ]
}

# Who may not list a bucket is told of a missing object that access is denied.
data "aws_iam_policy_document" "read_source" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = [local.source_arn]
  }
  statement {
    actions   = ["s3:GetObject"]
    resources = ["${local.source_arn}/*"]
  }
}

data "aws_iam_policy_document" "read_state" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.state.arn]
  }
  statement {
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.state.arn}/*"]
  }
}

data "aws_iam_policy_document" "write_state" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.state.arn]
  }
  statement {
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.state.arn}/*"]
  }
}

data "aws_iam_policy_document" "take_events" {
  statement {
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    resources = [aws_sqs_queue.events.arn]
  }
}

locals {
  policies = {
    ingest = data.aws_iam_policy_document.ingest.json
    watch  = data.aws_iam_policy_document.watch.json
    search = data.aws_iam_policy_document.search.json
  }
  oidc_issuer = element(split("oidc-provider/", var.oidc_provider_arn), 1)
}

data "aws_iam_policy_document" "service_account" {
  for_each = local.policies
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.oidc_issuer}:sub"
      values   = ["system:serviceaccount:${var.namespace}:${each.key}"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.oidc_issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "account" {
  for_each           = local.policies
  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.service_account[each.key].json
}

resource "aws_iam_role_policy" "account" {
  for_each = local.policies
  name     = "objseek"
  role     = aws_iam_role.account[each.key].id
  policy   = each.value
}
